"""The embedded data set: scenes drawn on the fly from a seed and a row number, with captions.

A scene is one large main object and one or two small ones on a cluttered background. Every object
has a shape, a texture, two colours, a place and a slight rotation. The class of a scene is one
property of its main object (`LABEL`); places and all colours are random, so that neither raw
pixels nor mean colours give it away, while the captions name it.
"""

import zlib
from collections.abc import Iterator

import numpy as np

from tvdim_jax.data.errors import DataError
from tvdim_jax.data.image_ops import rgb_to_grey
from tvdim_jax.data.sources import drawing
from tvdim_jax.data.sources.drawing import Thing
from tvdim_jax.data.sources.phrases import caption_texts, object_name

LABEL = "texture"  # which property of the main object is the class: "texture" or "shape"
SIZES = (32, 64, 128)

_VERSION = 1  # part of the digest: raise it when the same (seed, row) draws another scene
_DRAWS = 64  # uniform numbers that fix the objects; at most 49 are used
_CAPTION_DRAWS = 24
_CORNERS = ((0.14, 0.14), (0.14, 0.86), (0.86, 0.14), (0.86, 0.86))


class Scenes:
    """`num_examples` scenes of one seed; another seed gives scenes never seen before.

    Args:
      num_examples: rows, at least 1; nothing is stored, so any number is free.
      seed: 0 or more; with the row number it fixes the scene.
      image_size: pixels of a side: 32, 64 or 128, the same scenes at any of them.

    Raises:
      DataError: an argument out of its range.
    """

    def __init__(self, num_examples: int, seed: int, image_size: int) -> None:
        if num_examples < 1 or seed < 0:
            raise DataError(
                f"scenes: got num_examples={num_examples}, seed={seed}, wanted at least 1 and 0;"
                " correct them"
            )
        if image_size not in SIZES:
            raise DataError(
                f"scenes: got image_size={image_size}, wanted one of {SIZES}; set data.image_size"
            )
        self.name = "scenes"
        self._num_examples, self._seed, self._image_size = num_examples, seed, image_size

    def __len__(self) -> int:
        return self._num_examples

    def read_image(self, index: int, min_side: int = 0) -> np.ndarray:  # noqa: ARG002
        """The drawn scene, uint8 [image_size, image_size, 3]; `min_side` changes nothing."""
        canvas = drawing.background(self._stream(index, counter=1 << 64), self._image_size)
        for thing in self._things(index):
            drawing.paint(canvas, thing)
        return np.rint(canvas).astype(np.uint8)

    def read_grey(self, index: int, min_side: int = 0) -> np.ndarray:
        """The luma of the drawn scene, uint16 [image_size, image_size, 1]."""
        return rgb_to_grey(self.read_image(index, min_side))

    def captions(self, index: int) -> list[str]:
        """Five captions; the first uses the names of `boxes`, the others synonyms of them."""
        things = self._things(index)
        # A stream of its own: numbers shared with the background would tie wording to clutter.
        draws = self._stream(index, counter=1 << 128).random(_CAPTION_DRAWS)
        return caption_texts(things[0], things[1], draws.tolist())

    def labels(self, index: int) -> list[str]:
        """The class of the scene, exactly one."""
        return [getattr(self._things(index)[0], LABEL)]

    def ambiguous(self, index: int) -> list[str]:  # noqa: ARG002
        """Nothing is ambiguous here."""
        return []

    def boxes(self, index: int) -> list[tuple[str, tuple[int, int, int, int]]]:
        """Name and box of the two objects that the first caption names, the main one first.

        Boxes are (x0, y0, x1, y1) in pixels, x1 and y1 exclusive: the pixels that the object
        covers by half or more.
        """
        return [
            (object_name(thing), drawing.box(self._image_size, thing))
            for thing in self._things(index)[:2]
        ]

    def study_id(self, index: int) -> int:
        """The row: each scene has captions of its own."""
        return index

    def example_id(self, index: int) -> str:
        """Name of a row, such as "scenes/7/12" for row 12 of seed 7."""
        return f"scenes/{self._seed}/{index}"

    def digest(self) -> str:
        """Hash of what the rows are."""
        text = f"scenes {_VERSION} {LABEL} {self._num_examples} {self._seed} {self._image_size}"
        return f"{zlib.crc32(text.encode()):08x}"

    def _things(self, index: int) -> list[Thing]:
        """The objects of row `index`, the main one first."""
        if not 0 <= index < self._num_examples:
            raise IndexError(f"scenes: got row {index}, wanted 0 to {self._num_examples - 1}")
        return _arrange(self._stream(index, counter=0).random(_DRAWS).tolist())

    def _stream(self, index: int, counter: int) -> np.random.Generator:
        """Random numbers of a row; counters 2**64 apart never overlap."""
        return np.random.Generator(np.random.Philox(key=[self._seed, index], counter=counter))


def _arrange(draws: list[float]) -> list[Thing]:
    """Objects from uniform numbers: one main, one or two others that overlap nothing."""
    take = iter(draws)
    radius = 0.25 + 0.08 * next(take)
    x, y = (radius + (1 - 2 * radius) * next(take) for _ in range(2))
    things = [_thing(take, "large" if radius > 0.29 else "medium", (x, y), radius)]
    for _ in range(1 + (next(take) < 0.5)):
        radius = 0.11 + 0.03 * next(take)
        spots = [tuple(radius + (1 - 2 * radius) * next(take) for _ in "xy") for _ in range(4)]
        spot = next((s for s in (*spots, *_CORNERS) if _is_free(s, radius, things)), None)
        thing = _thing(take, "small", spot or (0.0, 0.0), radius)
        if spot is not None:
            things.append(_with_own_name(thing, things))
    return things


def _with_own_name(thing: Thing, others: list[Thing]) -> Thing:
    """The same object, of the next shape while another one of the scene has the same name."""
    names = {object_name(other) for other in others}
    while object_name(thing) in names:
        following = drawing.SHAPE_NAMES.index(thing.shape) + 1
        thing = thing._replace(shape=drawing.SHAPE_NAMES[following % len(drawing.SHAPE_NAMES)])
    return thing


def _is_free(spot: tuple[float, ...], radius: float, things: list[Thing]) -> bool:
    return all(
        (spot[0] - t.x) ** 2 + (spot[1] - t.y) ** 2 > (radius + t.radius) ** 2 for t in things
    )


def _thing(take: Iterator[float], size: str, spot: tuple[float, ...], radius: float) -> Thing:
    """One object of a given size and place, the rest from the next nine draws."""

    def one_of(names: tuple[str, ...]) -> str:
        return names[int(next(take) * len(names))]

    shape, texture = one_of(drawing.SHAPE_NAMES), one_of(drawing.TEXTURE_NAMES)
    colour = one_of(drawing.COLOUR_NAMES)
    first = drawing.COLOURS[colour]
    # The second ink differs from the first by enough in brightness for the texture to show.
    level = sum(first) / 3
    second_level = level + (110 if level < 128 else -110) * (1 + 0.3 * next(take))
    second = tuple(min(255.0, max(0.0, second_level + 60 * (next(take) - 0.5))) for _ in "rgb")
    angle = 0.5 * (next(take) - 0.5)
    return Thing(
        shape, texture, colour, size, spot[0], spot[1], radius, angle, next(take), (first, second)
    )
