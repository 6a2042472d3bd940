"""Scores of all images with all texts, asked for in tiles, and what counts as a tie of two."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

# (rows of n images, rows of m texts) -> scores [n, m]
ScoreTile = Callable[[np.ndarray, np.ndarray], Any]

BLOCK = 1024  # scores exist as [1024, 1024] tiles only
# Equal pairs get scores that differ by float32 rounding; closer than this is a tie.
_TIE = 1e-6


def check_rows(text_image_row: np.ndarray, num_images: int, ks: Sequence[int]) -> np.ndarray:
    """The image of each text as int32 `[M]`, checked.

    Args:
      text_image_row: `[M]`, M >= 1, values in [0, num_images).
      num_images: N.
      ks: cut-offs, >= 1.

    Raises:
      ValueError: rows or cut-offs out of range.
    """
    rows = np.asarray(text_image_row)
    if rows.ndim != 1 or not rows.size or rows.min() < 0 or rows.max() >= num_images:
        values = f", values {rows.min()} to {rows.max()}" if rows.size else ""
        raise ValueError(
            f"text_image_row must give each text an image row in [0, {num_images}): got shape "
            f"{rows.shape}{values}; rows count the images extracted, they are not image ids"
        )
    if min(ks) < 1:
        raise ValueError(f"ks must be >= 1, got {tuple(ks)}; leave smaller ones out")
    return rows.astype(np.int32)


def blocks_of(count: int, size: int) -> np.ndarray:
    """The numbers below `count` in blocks of equal length.

    Returns:
      int32 `[blocks, min(size, count)]`; -1 fills up the last one.
    """
    size = min(size, count)
    rows = np.arange(-(-count // size) * size, dtype=np.int32)
    return np.where(rows < count, rows, -1).reshape(-1, size)


def score_tile(score: ScoreTile, images: np.ndarray, texts: np.ndarray) -> jax.Array:
    """Scores of two blocks of `blocks_of`; those of the filling mean nothing.

    Returns:
      `[b, b']`.

    Raises:
      ValueError: the scores are not finite or not such a tile.
    """
    tile = jnp.asarray(score(np.maximum(images, 0), np.maximum(texts, 0)))
    if tile.shape != (images.size, texts.size) or not bool(jnp.isfinite(tile).all()):
        raise ValueError(
            f"scores of {images.size} images and {texts.size} texts: got shape {tile.shape}, "
            f"wanted {(images.size, texts.size)} of finite numbers; look at "
            "train/nonfinite_steps and evaluate an earlier checkpoint"
        )
    return tile


def lowest_tie(own: jax.Array) -> jax.Array:
    """The smallest score that ties with the partner's; an image without a text has none."""
    return own - _TIE * jnp.maximum(jnp.where(jnp.isfinite(own), jnp.abs(own), 1), 1)
