"""Drawing of scenes in unit coordinates: shapes, textures, clutter (numpy only).

A shape is a function of the place in the frame of the object, in which the circle around the shape
has radius 1: negative inside, and near the border about the distance to it. A texture is a
function of the place in units of its period: positive for the first ink, negative for the second,
about a distance near the change. Both are softened over one pixel, so that the same scene can be
drawn at any size.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

_Field = Callable[[np.ndarray, np.ndarray], np.ndarray]

_TURN = 2 * np.pi
_PERIOD = 0.15  # of a texture, in units of the image side: 4.8 pixels at 32
_CLUTTER_GRID = 16  # cells of a side of the background noise
_NUM_BARS = 10


class Thing(NamedTuple):
    """One object of a scene; lengths in units of the image side.

    Attributes:
      shape: a key of SHAPES.
      texture: a key of TEXTURES.
      colour: name of the first colour, a key of COLOURS.
      size: "large", "medium" or "small".
      x: centre, from the left.
      y: centre, from the top.
      radius: of the circle around the shape.
      angle: rotation in radians.
      phase: shift of the texture, in [0, 1).
      inks: the two colours, RGB in [0, 255].
    """

    shape: str
    texture: str
    colour: str
    size: str
    x: float
    y: float
    radius: float
    angle: float
    phase: float
    inks: tuple[tuple[float, ...], tuple[float, ...]]


def _circle(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.hypot(x, y) - 0.92


def _square(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.maximum(np.abs(x), np.abs(y)) - 0.72


def _diamond(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return (np.abs(x) + np.abs(y) - 1.0) * 0.7071


def _triangle(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.maximum(np.abs(x) * 0.866 - (y + 1.0) * 0.5, y - 0.5)


def _cross(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    wide, high = np.abs(x), np.abs(y)
    return np.maximum(np.maximum(wide, high) - 0.9, np.minimum(wide, high) - 0.3)


def _star(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    turn = np.abs(np.mod(np.arctan2(x, -y) / _TURN * 5 + 0.5, 1.0) - 0.5) * (_TURN / 5)
    # The side of a point of the star: through (1, 0) and (0.5, 36 degrees) in polar coordinates.
    rho = np.hypot(x, y)
    along, aside = rho * np.cos(turn), rho * np.sin(turn)
    return (along - 1.0) * 0.4426 + aside * 0.8967


def _crescent(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.maximum(np.hypot(x, y) - 0.95, 0.72 - np.hypot(x - 0.5, y))


def _bar(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.maximum(np.abs(x) - 0.92, np.abs(y) - 0.38)


SHAPES: dict[str, _Field] = {
    "circle": _circle,
    "square": _square,
    "diamond": _diamond,
    "triangle": _triangle,
    "cross": _cross,
    "star": _star,
    "crescent": _crescent,
    "bar": _bar,
}

_WAVES = 1 / _TURN  # makes the slope of sin(2 pi u) at its zeros 1


def _plain(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    return np.ones_like(u + v)


def _speckles(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    cell_x, cell_y = np.floor(u * 2.2).astype(np.int64), np.floor(v * 2.2).astype(np.int64)
    mixed = cell_x * 374761393 + cell_y * 668265263
    mixed = (mixed ^ (mixed >> 13)) * 1274126177  # integers: the same cells on every machine
    return ((mixed >> 16) & 1).astype(np.float32) - 0.5


TEXTURES: dict[str, _Field] = {
    "plain": _plain,
    "horizontal": lambda u, v: np.sin(_TURN * (v + 0 * u)) * _WAVES,
    "vertical": lambda u, v: np.sin(_TURN * (u + 0 * v)) * _WAVES,
    "diagonal": lambda u, v: np.sin(_TURN * 0.7071 * (u + v)) * _WAVES,
    "checked": lambda u, v: np.sin(_TURN * 0.7 * u) * np.sin(_TURN * 0.7 * v) * _WAVES,
    "dotted": lambda u, v: (np.cos(_TURN * 0.8 * u) + np.cos(_TURN * 0.8 * v) - 0.7) * _WAVES,
    "ringed": lambda u, v: np.sin(_TURN * np.hypot(u, v)) * _WAVES,
    "speckled": _speckles,
}

COLOURS: dict[str, tuple[int, int, int]] = {
    "red": (215, 40, 40),
    "orange": (245, 140, 30),
    "yellow": (240, 220, 50),
    "green": (50, 165, 60),
    "cyan": (60, 205, 215),
    "blue": (45, 75, 205),
    "purple": (135, 55, 175),
    "pink": (245, 135, 190),
    "white": (240, 240, 240),
    "black": (25, 25, 25),
}

SHAPE_NAMES, TEXTURE_NAMES, COLOUR_NAMES = tuple(SHAPES), tuple(TEXTURES), tuple(COLOURS)


def background(rng: np.random.Generator, size: int) -> np.ndarray:
    """Clutter: blocky noise over a colour gradient, with bars of random colours.

    Args:
      rng: takes the same numbers at any size.
      size: pixels of a side, a multiple of 16.

    Returns:
      float32 [size, size, 3] in [0, 255].
    """
    corners = 255 * rng.random((2, 2, 3), np.float32)
    noise = 50 * rng.random((_CLUTTER_GRID, _CLUTTER_GRID, 3), np.float32) - 25
    ramp = np.linspace(0, 1, _CLUTTER_GRID, dtype=np.float32)[:, None]
    edges = corners[0] + ramp[:, :, None] * (corners[1] - corners[0])
    cells = edges[:, :1] + ramp * (edges[:, 1:] - edges[:, :1]) + noise
    scale = size // _CLUTTER_GRID
    canvas = cells.clip(0, 255).repeat(scale, axis=0).repeat(scale, axis=1)
    unit = size // 32
    for row in (rng.random((_NUM_BARS, 8), np.float32)).tolist():
        long, thin = 3 + int(9 * row[0]), 1 + int(2 * row[1])
        height, width = (long, thin) if row[2] < 0.5 else (thin, long)
        top, left = int(32 * row[3]) * unit, int(32 * row[4]) * unit
        ink = (255 * row[5], 255 * row[6], 255 * row[7])
        canvas[top : top + height * unit, left : left + width * unit] = ink
    return canvas


def paint(canvas: np.ndarray, thing: Thing) -> None:
    """Draws one object into `canvas`, float32 [S, S, 3] in [0, 255], in place."""
    size = canvas.shape[0]
    window, across, down = _window(size, thing)
    inside = _soften(SHAPES[thing.shape](across, down), thing.radius * size)
    stretch = thing.radius / _PERIOD
    shift = 0.0 if thing.texture == "ringed" else thing.phase  # rings keep their centre
    field = TEXTURES[thing.texture](across * stretch + shift, down * stretch + shift)
    mix = _soften(field, _PERIOD * size)[..., None]
    first, second = np.array(thing.inks, np.float32)
    patch = canvas[window]
    patch += inside[..., None] * (first + mix * (second - first) - patch)


def box(size: int, thing: Thing) -> tuple[int, int, int, int]:
    """Box (x0, y0, x1, y1) in pixels, ends exclusive, of what `paint` covers by half or more."""
    window, across, down = _window(size, thing)
    covered = SHAPES[thing.shape](across, down) <= 0
    rows, columns = np.flatnonzero(covered.any(1)), np.flatnonzero(covered.any(0))
    top, left = window[0].start, window[1].start
    return (
        int(left + columns[0]),
        int(top + rows[0]),
        int(left + columns[-1] + 1),
        int(top + rows[-1] + 1),
    )


def _window(size: int, thing: Thing) -> tuple[tuple[slice, slice], np.ndarray, np.ndarray]:
    """Pixels around an object and their places in its frame: two arrays [h, w]."""
    spans, places = [], []
    for centre in (thing.y, thing.x):
        first = max(0, int((centre - thing.radius) * size) - 1)
        last = min(size, int((centre + thing.radius) * size) + 2)
        spans.append(slice(first, last))
        places.append((np.arange(first, last, dtype=np.float32) + 0.5) / size - centre)
    cos, sin = (np.float32(f(thing.angle) / thing.radius) for f in (math.cos, math.sin))
    down, across = places[0][:, None], places[1][None, :]
    return (spans[0], spans[1]), cos * across + sin * down, cos * down - sin * across


def _soften(distance: np.ndarray, pixels: float) -> np.ndarray:
    """1 where a distance is negative, 0 where positive, a ramp one pixel wide between them."""
    return np.minimum(np.maximum(0.5 - distance * pixels, 0.0), 1.0)
