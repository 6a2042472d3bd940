"""Pictures and the maps over them: on a page as data URIs, by the hundred, or on figures."""

import base64
import io
from typing import NamedTuple

import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes
from PIL import Image

LARGE, SMALL = 224, 96  # pixels of a side at most: to look into, and to recognise
_LOSSLESS_SIDE = 64  # pixels; smaller pictures would show every artefact
# Of COLOURS in style.py, light: what raises and lowers a score, and shade.
_UP, _DOWN, _DARK = (213, 94, 0), (0, 114, 178), (12, 14, 18)
_OPAQUE = 215  # of 255, so that the picture stays visible


def picture_uri(pixels: np.ndarray, side: int) -> str:
    """The picture as WebP, its longer side reduced to `side` where it is larger.

    Args:
      pixels: uint8 RGB `[H, W, 3]`.
      side: pixels at most.

    Raises:
      ValueError: other pixels.
    """
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3 or 0 in pixels.shape:
        raise ValueError(
            f"picture: got {pixels.dtype} {pixels.shape}, wanted uint8 [H, W, 3]; convert to RGB"
        )
    image = Image.fromarray(pixels)
    image.thumbnail((side, side), Image.Resampling.LANCZOS)
    return _uri(image, "WEBP", quality=78, lossless=max(image.size) <= _LOSSLESS_SIDE)


class Layer(NamedTuple):
    """A map that lies over a square picture, centred on it.

    Attributes:
      pixels: uint8 RGBA `[h, w, 4]`, to be smoothed.
      height: of the layer, over the side of the picture.
      width: the same.
    """

    pixels: np.ndarray
    height: float
    width: float


def heat(share: np.ndarray, border: float) -> Layer:
    """A layer that shows changes: clear, vermilion or blue.

    Args:
      share: `[h, w]` of the scale, -1 to 1: clear at 0, vermilion above, blue below.
      border: share of the side of the picture that lies outside the map at each end, at least 0;
        there the map goes on as at its edge.
    """
    colours = np.where(share[..., None] < 0, _DOWN, _UP)
    return _layer(colours, np.abs(share), border)


def veil(share: np.ndarray, border: float) -> Layer:
    """A layer that darkens the picture where scores are low.

    Args:
      share: `[h, w]` of the scale, 0 (dark) to 1 (clear).
      border: see `heat`.
    """
    return _layer(np.broadcast_to(_DARK, (*share.shape, 3)), 1 - share, border)


def layer_style(layer: Layer) -> Markup:
    """CSS of an element over the picture that shows the layer; the browser smooths it."""
    uri = _uri(Image.fromarray(layer.pixels), "PNG", optimize=True)
    return Markup("background:url({}) center/{:.2%} {:.2%} no-repeat").format(
        uri, layer.width, layer.height
    )


def plot_picture(axis: Axes, pixels: np.ndarray, layer: Layer | None = None) -> None:
    """Draws a picture, and a layer over it, on an empty axis.

    Args:
      axis: of matplotlib.
      pixels: uint8 RGB `[S, S, 3]`.
      layer: of the same picture.
    """
    axis.imshow(pixels, extent=(0, 1, 1, 0))
    if layer is not None:
        x, y = layer.width / 2, layer.height / 2
        around = (0.5 - x, 0.5 + x, 0.5 + y, 0.5 - y)
        axis.imshow(layer.pixels, extent=around, interpolation="bilinear")
    axis.set(xlim=(0, 1), ylim=(1, 0))
    axis.set_axis_off()


def _layer(colours: np.ndarray, opacity: np.ndarray, border: float) -> Layer:
    """One pixel a region, and as many more as reach over the border."""
    alpha = np.rint(_OPAQUE * np.clip(opacity, 0, 1))
    layer = np.concatenate([colours, alpha[..., None]], axis=2).astype(np.uint8)
    sides = (1 - 2 * border) / np.array(opacity.shape)  # of a region, over that of the picture
    pads = np.ceil(border / sides).astype(int)
    layer = np.pad(layer, [(pads[0],) * 2, (pads[1],) * 2, (0, 0)], mode="edge")
    return Layer(layer, *(sides * layer.shape[:2]).tolist())


def _uri(image: Image.Image, form: str, **options: object) -> str:
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return f"data:image/{form.lower()};base64,{base64.b64encode(buffer.getvalue()).decode()}"
