import tracemalloc

import numpy as np
import pytest
from PIL import Image

from tvdim_jax.data.errors import BadExample
from tvdim_jax.data.sources import CaptionsFolder
from tvdim_jax.data.squares import black_squares, grey_square, read_square, stored_side


@pytest.mark.parametrize("grey", [False, True])
def test_squares(make_folder, make_jpeg, grey):
    shape, dtype = ((20, 20, 1), np.uint16) if grey else ((16, 16, 3), np.uint8)
    rows = [("a.jpg", make_jpeg(255, (90, 80)), ["x"], {}), ("b.jpg", b"", ["x"], {})]
    source = CaptionsFolder(make_folder(rows))
    square = read_square(source, 0, 16, grey)
    assert (square.shape, square.dtype) == (shape, dtype)
    assert square[10, 10, 0] == np.iinfo(dtype).max
    black = black_squares(3, 16, grey)
    assert (black.shape, black.dtype, black.max()) == ((3, *shape), dtype, 0)
    with pytest.raises(BadExample, match="empty file"):
        read_square(source, 1, 16, grey)


def pixels(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 65536, (height, width), np.uint16)


@pytest.mark.parametrize("size", [(32, 32), (32, 37), (37, 32), (32, 42), (33, 60), (90, 64)])
def test_the_centre_crop_of_a_grey_square_is_that_of_the_image(size):
    image = pixels(*size)
    square = grey_square(image[..., None], 32)
    assert square.shape == (42, 42, 1)
    assert stored_side(32) == 42
    high, wide = (round(side * 32 / min(size)) for side in size)
    floats = Image.fromarray(image.astype(np.float32)).resize(
        (wide, high), Image.Resampling.BILINEAR
    )
    scaled = np.rint(np.asarray(floats))
    top, left = round((high - 32) / 2), round((wide - 32) / 2)
    assert np.abs(square[5:37, 5:37, 0] - scaled[top : top + 32, left : left + 32]).max() <= 1
    if min(size) == 32:  # nothing to scale
        assert np.array_equal(square[5:37, 5:37, 0], image[top : top + 32, left : left + 32])
        assert (square > 0).sum() == np.minimum(size, 42).prod() - (image == 0).sum()


def test_a_grey_square_keeps_the_margin_and_is_black_outside():
    image = np.full((336, 256, 1), 9, np.uint16)
    square = grey_square(image, 256)
    assert square.shape == (336, 336, 1)
    assert (square[:, 40:296] == 9).all()
    assert square.sum() == image.sum()


def test_a_narrow_grey_image_stays_small():
    tracemalloc.start()
    square = grey_square(np.full((1, 65_000, 1), 700, np.uint16), 256)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (square[40:296] == 700).all()
    assert peak < 1e7


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((4, 4, 1), np.uint8),
        np.zeros((4, 4), np.uint16),
        np.zeros((4, 4, 3), np.uint16),
        np.zeros((0, 4, 1), np.uint16),
    ],
)
def test_no_grey_image(image):
    with pytest.raises(BadExample, match="not a uint16"):
        grey_square(image, 8)
