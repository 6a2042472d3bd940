"""What the cosines of images and texts tell of the trained critic."""

from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from tvdim_jax.evals.knn import unit_rows
from tvdim_jax.losses import info_nce_lower_bound

TEMPERATURES = (0.01, 0.02, 0.03, 0.05, 0.07, 0.1, 0.15, 0.2, 0.3, 0.5, 1.0, 3.0)
NUM_PAIRS = 256  # images of each half, so candidates of the bound


class Pairs(NamedTuple):
    """n images, each with one text.

    Attributes:
      cosines: float32 `[n, n]`, images in rows.
      text_id: int32 `[n]`; equal texts have one number.
    """

    cosines: np.ndarray
    text_id: np.ndarray


def make_pairs(image: np.ndarray, text: np.ndarray, wording: list[str]) -> Pairs:
    """Pairs of images `[n, D]` with texts `[n, D]`; texts are equal but for letter case."""
    _, text_id = np.unique([each.lower() for each in wording], return_inverse=True)
    return Pairs(unit_rows(image) @ unit_rows(text).T, text_id.astype(np.int32))


def held_out_nats(pairs: Pairs) -> dict[str, Any]:
    """InfoNCE lower bound of the mutual information of held-out images and texts.

    The critic is cosine / temperature. The images are cut in two halves of at most `NUM_PAIRS`; the
    temperature that is best on one half scores the other, so that the bound is one for a critic
    that was not fitted to the pairs it is taken on, and an arm that trained with no temperature
    is not at a loss. Mean of both halves and of images and texts as anchors. Equal texts are not
    each other's negatives.

    Args:
      pairs: at least 4.

    Returns:
      "nats"; "num_pairs", N of each half; "ceiling_nats", log N; "temperatures" of both halves.
    """
    count = min(NUM_PAIRS, len(pairs.cosines) // 2)
    halves = [np.arange(count), np.arange(count, 2 * count)]
    table = np.array([[_nats(pairs, half, t) for t in TEMPERATURES] for half in halves])
    best = table.argmax(axis=1)
    return {
        "nats": float(np.mean([table[0, best[1]], table[1, best[0]]])),
        "num_pairs": count,
        "ceiling_nats": float(np.log(count)),
        "temperatures": [TEMPERATURES[index] for index in best],
    }


def _nats(pairs: Pairs, rows: np.ndarray, temperature: float) -> float:
    scores = jnp.asarray(pairs.cosines[np.ix_(rows, rows)]) / temperature
    ids = jnp.asarray(pairs.text_id[rows])
    masks = {"x_group_id": ids, "y_group_id": ids}
    bounds = [info_nce_lower_bound(each, **masks) for each in (scores, scores.T)]
    return float(sum(bounds)) / 2


def summary(pairs: Pairs, margin: float) -> dict[str, float]:
    """Scores of right and wrong pairs, and how much of a ranking still pulls.

    Args:
      pairs: with at least two different texts.
      margin: of the ranking, in cosine.

    Returns:
      "positive_mean", "negative_mean" and "negative_std" of the cosines; "hardest_mean" over images
      of their best wrong text; "active_share" of the wrong pairs that a hinge with the margin still
      moves, images as anchors; "num_pairs".
    """
    positive = np.diagonal(pairs.cosines)
    is_negative = pairs.text_id[:, None] != pairs.text_id[None, :]
    negative = pairs.cosines[is_negative]
    hinge = margin - positive[:, None] + pairs.cosines
    hardest = np.where(is_negative, pairs.cosines, -np.inf).max(axis=1)
    return {
        "positive_mean": float(positive.mean()),
        "negative_mean": float(negative.mean()),
        "negative_std": float(negative.std()),
        "hardest_mean": float(hardest[np.isfinite(hardest)].mean()),
        "active_share": float((hinge[is_negative] > 0).mean()),
        "num_pairs": len(positive),
    }


def participation_ratio(features: np.ndarray) -> float:
    """(sum of the variances along the principal axes)^2 / sum of their squares, 1 to D.

    How many directions of the space are in use; 0 for constant features.

    Args:
      features: `[n, D]`.
    """
    centred = features.astype(np.float64) - features.mean(axis=0, dtype=np.float64)
    covariance = centred.T @ centred
    squares = np.sum(covariance**2)
    return float(np.trace(covariance) ** 2 / squares) if squares > 0 else 0.0
