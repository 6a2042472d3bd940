"""Pictures in data URIs, read back by Pillow."""

import base64
import io
import re

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from tvdim_jax.report.pictures import heat, layer_style, picture_uri, plot_picture, veil


def read(uri, kind):
    head, _, data = uri.partition(",")
    assert head == f"data:image/{kind};base64"
    return Image.open(io.BytesIO(base64.b64decode(data)))


def test_a_small_picture_keeps_every_pixel():
    pixels = np.random.default_rng(0).integers(0, 256, (24, 32, 3), dtype=np.uint8)
    found = read(picture_uri(pixels, 96), "webp")
    np.testing.assert_array_equal(np.asarray(found.convert("RGB")), pixels)


def test_a_large_picture_is_reduced_and_small_on_the_page():
    rng = np.random.default_rng(0)
    pixels = np.kron(
        rng.integers(0, 256, (6, 9, 3), dtype=np.uint8), np.ones((50, 50, 1), np.uint8)
    )
    uri = picture_uri(pixels, 96)
    assert read(uri, "webp").size == (96, 64)
    assert len(uri) < 6_000
    found = np.asarray(read(uri, "webp").convert("RGB"), float)
    assert np.abs(found[5, 5] - pixels[25, 25]).max() < 12


@pytest.mark.parametrize(
    "pixels", [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3)), np.zeros((0, 4, 3), np.uint8)]
)
def test_what_is_no_picture(pixels):
    with pytest.raises(ValueError, match=r"picture: got .* wanted uint8 \[H, W, 3\]; convert"):
        picture_uri(pixels, 96)


def test_what_raises_is_vermilion_and_what_lowers_is_blue():
    found, *size = heat(np.array([[1.0, 0.5, 0.0], [-1.0, 0.0, -2.0]]), 0.0)
    assert size == [1, 1]
    assert found.shape == (2, 3, 4)
    assert found[0, 0].tolist() == [213, 94, 0, 215]
    assert found[0, 1].tolist() == [213, 94, 0, 108]
    assert found[0, 2, 3] == found[1, 1, 3] == 0
    assert found[1, 0].tolist() == found[1, 2].tolist() == [0, 114, 178, 215]


def test_a_low_score_lies_in_the_dark():
    found = veil(np.array([[0.0, 1.0, 0.5]]), 0.0).pixels
    assert found[0, :, 3].tolist() == [215, 0, 108]
    assert found[0, :, :3].max() < 20


def test_a_map_goes_on_over_the_border():
    """Regions of 20 % of the side within a border of 30 %: two more on each side."""
    found, height, width = heat(np.array([[0.2, 0.4], [0.6, 0.8]]), 0.3)
    assert (height, width) == pytest.approx((1.2, 1.2))  # so that 10 % lie outside at each end
    assert found.shape == (6, 6, 4)
    assert found[2:4, 2:4, 3].tolist() == [[43, 86], [129, 172]]
    assert found[0, :, 3].tolist() == [43] * 3 + [86] * 3
    assert found[:, 5, 3].tolist() == [86] * 3 + [172] * 3


def test_a_layer_as_css_is_the_same_layer():
    layer = heat(np.array([[0.5, -0.5, 1.0]]), 0.1)
    uri, width, height = re.fullmatch(
        r"background:url\((.*)\) center/(.*)% (.*)% no-repeat", str(layer_style(layer))
    ).groups()
    np.testing.assert_array_equal(np.asarray(read(uri, "png")), layer.pixels)
    assert [float(width), float(height)] == pytest.approx(
        [100 * layer.width, 100 * layer.height], abs=0.01
    )
    assert layer.width != layer.height


def test_a_picture_on_a_figure_lies_under_its_layer():
    """The first row stands above, and what reaches over the picture is cut off."""
    figure = Figure(figsize=(1, 1), facecolor="white")
    axis = figure.add_axes((0, 0, 1, 1))
    pixels = np.array([[[200, 0, 0]] * 2, [[0, 0, 200]] * 2], np.uint8)
    dark_left = veil(np.array([[0.0, 1.0], [0.0, 1.0]]), 0.25)
    plot_picture(axis, pixels, dark_left)
    buffer = io.BytesIO()
    figure.savefig(buffer, dpi=100)
    seen = np.asarray(Image.open(buffer).convert("RGB"), int)
    assert seen.shape == (100, 100, 3)
    assert seen[5, 95].tolist() == [200, 0, 0]
    assert seen[95, 95].tolist() == [0, 0, 200]
    assert seen[5, 5].max() < 60
    assert axis.get_xlim() == (0, 1)
