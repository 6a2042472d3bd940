"""Scenes with descriptions, of which a known share is so short that it fits many images."""

from collections.abc import Iterable
from typing import Any, NamedTuple

import jax
import numpy as np

from tvdim_jax.data.sources.scenes import Scenes
from tvdim_jax.evals.pixels import pixels_and_gradients

Array = np.ndarray | jax.Array
NUM_PLACES = 6
UNSAID = -1
_BLOCK = 500  # images drawn at a time


class Described(NamedTuple):
    """Scenes and what is said of them.

    Attributes:
      images: float32 `[n, 896]`, see `pixels_and_gradients`, standardised by the first part.
      words: int32 `[n, 6]`, texture, colour and shape of the main object, then of the second one.
    """

    images: np.ndarray
    words: np.ndarray

    @property
    def classes(self) -> np.ndarray:
        """Texture of the main object, int32 `[n]`."""
        return self.words[:, 0]


def draw(sizes: Iterable[int]) -> list[Described]:
    """Parts of the given sizes, of other scenes each, with whole descriptions.

    The words of a place are numbered in the order of the alphabet, over all parts.
    """
    parts = [Scenes(size, seed=seed, image_size=32) for seed, size in enumerate(sizes)]
    said = [np.array([_said(scenes, row) for row in range(len(scenes))]) for scenes in parts]
    # Number the words of each place alike in all parts.
    numbers = np.stack(
        [np.unique(words, return_inverse=True)[1] for words in np.concatenate(said).T], axis=1
    ).astype(np.int32)
    ends = np.cumsum([len(scenes) for scenes in parts])[:-1]
    images = [_features(scenes) for scenes in parts]
    mean, deviation = images[0].mean(axis=0), images[0].std(axis=0) + 1e-6
    images = [(features - mean) / deviation for features in images]
    return [Described(*part) for part in zip(images, np.split(numbers, ends), strict=True)]


def shorten(words: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """The same descriptions, of which those of some rows name the main texture alone.

    Args:
      words: int `[n, 6]`.
      rows: int, of the descriptions to shorten.
    """
    shortened = words.copy()
    shortened[rows, 1:] = UNSAID
    return shortened


def is_true(words: Array, said: Array) -> Any:
    """Whether description j is true of scene i, bool `[..., n, m]`.

    Args:
      words: int `[..., n, 6]`, the whole descriptions of the scenes.
      said: int `[..., m, 6]`.
    """
    words, said = words[..., :, None, :], said[..., None, :, :]
    return ((said == words) | (said == UNSAID)).all(axis=-1)


def _said(scenes: Scenes, row: int) -> list[str]:
    """Such as ["dotted", "blue", "square", "horizontally striped", "red", "bar"]."""
    return [word for name, _ in scenes.boxes(row) for word in name.rsplit(" ", 2)]


def _features(scenes: Scenes) -> np.ndarray:
    starts = range(0, len(scenes), _BLOCK)
    blocks = [range(start, min(start + _BLOCK, len(scenes))) for start in starts]
    return np.concatenate(
        [pixels_and_gradients(np.stack([*map(scenes.read_image, rows)])) for rows in blocks]
    )
