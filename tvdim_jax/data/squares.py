"""Rows of a source as images of one size: RGB, or grey with a margin for augmentation."""

import numpy as np
from PIL import Image

from tvdim_jax.data.errors import BadExample
from tvdim_jax.data.image_ops import resize_square
from tvdim_jax.data.sources.base import Source

GREY_MARGIN = 5 / 32  # what a stored grey square keeps on each side, per pixel of the view


def stored_side(image_size: int) -> int:
    """Side of the square that `grey_square` makes for views of `image_size` pixels."""
    return image_size + 2 * round(GREY_MARGIN * image_size)


def grey_square(image: np.ndarray, image_size: int) -> np.ndarray:
    """Scales the shorter side to `image_size` and lays the centre on a black, larger square.

    The square holds all of an image whose sides differ by less than 1.31 (336 pixels for a view
    of 256), so that rotating and shifting on the device still finds what a plain centre crop cuts
    off; what lies outside is black anyway. An odd pixel falls so that the centre crop of the square
    is the centre crop of the image.

    Args:
      image: grey, uint16 [h, w, 1].
      image_size: pixels of the view, at least 1.

    Returns:
      uint16 [S, S, 1], S = stored_side(image_size); bilinear with antialiasing, rounded.

    Raises:
      BadExample: "not a uint16 [h, w, 1] image".

    Source: the shorter side and the interpolation are those of the LMI authors' preparation
    (arXiv 2103.04537); the square is ours.
    """
    array = np.asarray(image)
    if array.dtype != np.uint16 or array.ndim != 3 or array.shape[2] != 1 or 0 in array.shape:
        raise BadExample("not a uint16 [h, w, 1] image")
    height, width = array.shape[:2]
    scale = image_size / min(height, width)
    top, bottom, above, high = _span(height, round(height * scale), image_size)
    left, right, before, wide = _span(width, round(width * scale), image_size)
    # Cutting first keeps a 1 x 65,000 image small. Float32 holds 16 bits without loss.
    pixels = Image.fromarray(array[..., 0].astype(np.float32)).resize(
        (wide, high), Image.Resampling.BILINEAR, box=(left, top, right, bottom)
    )
    square = np.zeros((stored_side(image_size),) * 2 + (1,), np.uint16)
    square[above : above + high, before : before + wide, 0] = np.rint(np.asarray(pixels))
    return square


def read_square(source: Source, row: int, image_size: int, grey: bool) -> np.ndarray:
    """Image of a row, resized.

    Args:
      source: with the row.
      row: its number.
      image_size: pixels of a side.
      grey: False: image_ops.resize_square; True: grey_square.

    Returns:
      uint8 [S, S, 3] with S = image_size, or uint16 [S, S, 1] with S = stored_side(image_size).

    Raises:
      BadExample: the image cannot be used.
    """
    if grey:
        return grey_square(source.read_grey(row, image_size), image_size)
    return resize_square(source.read_image(row, image_size), image_size)


def black_squares(count: int, image_size: int, grey: bool) -> np.ndarray:
    """`count` images as `read_square` gives them, all black."""
    if grey:
        side = stored_side(image_size)
        return np.zeros((count, side, side, 1), np.uint16)
    return np.zeros((count, image_size, image_size, 3), np.uint8)


def _span(pixels: int, length: int, image_size: int) -> tuple[float, float, int, int]:
    """An axis of `pixels`, to be scaled to `length`: where what is stored of it begins and ends.

    Returns:
      Begin and end before scaling; place in the square and number of pixels after it.
    """
    side = stored_side(image_size)
    place = (side - image_size) // 2 - round((length - image_size) / 2)
    first, place = max(0, -place), max(0, place)
    kept = min(length - first, side - place)
    unit = pixels / length
    return first * unit, min((first + kept) * unit, pixels), place, kept
