"""Image-text retrieval: recall at k both ways, over sets with several captions an image."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from tvdim_jax.evals.features import check_features
from tvdim_jax.evals.knn import unit_rows

_BLOCK = 1024  # scores exist as [1024, 1024] tiles only
# Equal vectors get cosines that differ by float32 rounding; closer than this is a tie.
_TIE = 1e-6


def recall_at_k(
    image_features: np.ndarray,
    text_features: np.ndarray,
    text_image_row: np.ndarray,
    ks: Sequence[int] = (1, 5, 10),
) -> dict[str, float]:
    """Share of queries whose true partner is among the k best candidates, by cosine.

    Image to text: a hit is any of the image's captions among the k best of all texts. Text to
    image: a hit is the text's image among the k best of all images. A candidate that ties with the
    partner (within 1e-6) ranks before it, so a collapsed encoder scores 0, not chance. Images
    without a caption are candidates but no queries.

    Args:
      image_features: `[N, D]`, in the space of the texts.
      text_features: `[M, D]`.
      text_image_row: int `[M]`, the row in `image_features` of each text's image.
      ks: cut-offs, >= 1.

    Returns:
      "image_to_text_R@k" and "text_to_image_R@k" for each k, in [0, 1].

    Raises:
      ValueError: features that are not finite or differ in width, or rows out of range.
    """
    rows = _check(image_features, text_features, text_image_row, ks)
    images, texts = unit_rows(image_features), unit_rows(text_features)
    own_text = _partner_scores(images, texts, rows)
    own_image = np.full(images.shape[0], -np.inf, np.float32)
    np.maximum.at(own_image, rows, own_text)
    image_rows = np.arange(images.shape[0], dtype=np.int32)
    image_rank, text_rank = _ranks(
        _Side(images, image_rows, own_image), _Side(texts, rows, own_text)
    )
    is_query = np.isfinite(own_image)
    hits = {f"image_to_text_R@{k}": float(np.mean(image_rank[is_query] < k)) for k in ks}
    return hits | {f"text_to_image_R@{k}": float(np.mean(text_rank < k)) for k in ks}


def chance_recall_at_k(
    num_images: int, text_image_row: np.ndarray, ks: Sequence[int] = (1, 5, 10)
) -> dict[str, float]:
    """What `recall_at_k` expects of a random order.

    Text to image: `min(k, N) / N`. Image to text, an image with c of the M captions:
    `1 - binomial(M - c, k) / binomial(M, k)`, the mean over the images with a caption.

    Args:
      num_images: N.
      text_image_row: int `[M]`, the row of each text's image.
      ks: cut-offs, >= 1.

    Returns:
      The keys of `recall_at_k`, in [0, 1].
    """
    num_texts = len(text_image_row)
    num_captions, num_queries = np.unique(
        np.bincount(text_image_row, minlength=num_images), return_counts=True
    )
    pairs = [(int(c), int(n)) for c, n in zip(num_captions, num_queries, strict=True) if c > 0]
    chance = {}
    for k in ks:
        drawn = min(k, num_texts)
        total = math.comb(num_texts, drawn)
        hit = [n * (1 - math.comb(num_texts - c, drawn) / total) for c, n in pairs]
        chance[f"image_to_text_R@{k}"] = sum(hit) / sum(n for _, n in pairs)
    return chance | {f"text_to_image_R@{k}": min(k, num_images) / num_images for k in ks}


def _check(
    image_features: np.ndarray,
    text_features: np.ndarray,
    text_image_row: np.ndarray,
    ks: Sequence[int],
) -> np.ndarray:
    """The rows as int32, or a ValueError."""
    check_features(image_features, "image_features")
    check_features(text_features, "text_features")
    if image_features.shape[1] != text_features.shape[1]:
        raise ValueError(
            "images and texts must share one space: got widths "
            f"{image_features.shape[1]} and {text_features.shape[1]}; use the outputs of the heads"
        )
    rows = np.asarray(text_image_row)
    num_images = image_features.shape[0]
    if rows.shape != text_features.shape[:1] or rows.min() < 0 or rows.max() >= num_images:
        raise ValueError(
            f"text_image_row must give each of the {text_features.shape[0]} texts an image row in "
            f"[0, {num_images}): got shape {rows.shape}, values {rows.min()} to {rows.max()}; "
            "rows count the images extracted, they are not image ids"
        )
    if min(ks) < 1:
        raise ValueError(f"ks must be >= 1, got {tuple(ks)}; leave smaller ones out")
    return rows.astype(np.int32)


def _partner_scores(images: np.ndarray, texts: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Cosine of each text with its image, `[M]`."""
    starts = range(0, texts.shape[0], _BLOCK)
    blocks = [slice(start, start + _BLOCK) for start in starts]
    return np.concatenate([np.sum(texts[b] * images[rows[b]], axis=1) for b in blocks])


class _Side(NamedTuple):
    """Images or texts as one side of the tiles, padded to whole tiles.

    Attributes:
      vectors: `[n, D]`, unit rows.
      row: int32 `[n]`, the image row of each; -1 = padding.
      own: `[n]`, cosine with the (best) partner.
    """

    vectors: np.ndarray
    row: np.ndarray
    own: np.ndarray


def _padded(side: _Side) -> _Side:
    pad = -side.row.size % _BLOCK
    return _Side(
        np.pad(side.vectors, ((0, pad), (0, 0))),
        np.pad(side.row, (0, pad), constant_values=-1),
        np.pad(side.own, (0, pad)),
    )


def _ranks(images: _Side, texts: _Side) -> tuple[np.ndarray, np.ndarray]:
    """How many candidates rank before the partner: `[N]` for images, `[M]` for texts."""
    num_images, num_texts = images.row.size, texts.row.size
    images, texts = _padded(images), _padded(texts)
    image_rank = np.zeros(images.row.size, np.int64)
    text_rank = np.zeros(texts.row.size, np.int64)
    for i in range(0, images.row.size, _BLOCK):
        image_block = slice(i, i + _BLOCK)
        image_tile = jax.device_put(_Side(*(array[image_block] for array in images)))
        for t in range(0, texts.row.size, _BLOCK):
            text_block = slice(t, t + _BLOCK)
            text_tile = _Side(*(array[text_block] for array in texts))
            before_image, before_text = _count_tile(image_tile, text_tile)
            image_rank[image_block] += np.asarray(before_image)
            text_rank[text_block] += np.asarray(before_text)
    return image_rank[:num_images], text_rank[:num_texts]


@jax.jit
def _count_tile(images: _Side, texts: _Side) -> tuple[jax.Array, jax.Array]:
    """The tile's part of `_ranks`: candidates of other images that score as well or better."""
    scores = jnp.matmul(images.vectors, texts.vectors.T, precision=jax.lax.Precision.HIGHEST)
    image_row, text_row = images.row[:, None], texts.row[None, :]
    other = (image_row >= 0) & (text_row >= 0) & (image_row != text_row)
    before_image = other & (scores >= images.own[:, None] - _TIE)
    before_text = other & (scores >= texts.own[None, :] - _TIE)
    return before_image.sum(axis=1), before_text.sum(axis=0)
