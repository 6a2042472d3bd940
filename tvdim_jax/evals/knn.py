"""Weighted nearest neighbours by cosine: an evaluation without training."""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from tvdim_jax.evals.labelled import (
    LabelledFeatures,
    check_pair,
    known_entries,
    one_sided_classes,
    score_predictions,
)

_BLOCK = 256  # queries a tile: [256, n] similarities at a time


class KnnResult(NamedTuple):
    """What was measured and by which protocol; `_asdict()` is JSON.

    Attributes:
      metric: "accuracy", "class_mean_accuracy" or "mean_auc".
      value: in [0, 1].
      num_neighbors: k.
      temperature: of the votes.
      num_train: rows to choose neighbours from.
      num_test: rows scored.
      num_classes: C, skipped ones included.
      classes_skipped: several labels: classes without both values in the training or the test part.
    """

    metric: str
    value: float
    num_neighbors: int
    temperature: float
    num_train: int
    num_test: int
    num_classes: int
    classes_skipped: tuple[int, ...]


def evaluate(
    train: LabelledFeatures,
    test: LabelledFeatures,
    *,
    num_neighbors: int = 20,
    temperature: float = 0.07,
    class_mean: bool = False,
) -> KnnResult:
    """Scores `test` by the labels of its nearest neighbours in `train`.

    Neighbour j of a row votes with `exp(cos_j / temperature)` (Wu et al. 2018, arXiv 1805.01978).
    One label: the class with the most votes. Several: class by class the weighted mean of the
    neighbours' known labels; without a known one, the class's share in the training part.

    Args:
      train: rows to choose neighbours from.
      test: labels of the same kind and classes.
      num_neighbors: k, from 1 to the training rows.
      temperature: > 0.
      class_mean: one label: give the mean accuracy over the classes instead of that over the rows.

    Returns:
      The score and the protocol.

    Raises:
      ValueError: parts that do not fit together, more neighbours than training rows, or a
        temperature that is not above 0.
    """
    return predict(
        train,
        test,
        num_neighbors=num_neighbors,
        temperature=temperature,
        class_mean=class_mean,
    )[0]


def predict(
    train: LabelledFeatures,
    test: LabelledFeatures,
    *,
    num_neighbors: int = 20,
    temperature: float = 0.07,
    class_mean: bool = False,
) -> tuple[KnnResult, np.ndarray]:
    """`evaluate`, and what the neighbours say of every row of `test`, float64 `[n, C]`.

    Arguments and errors are those of `evaluate`.
    """
    num_classes = check_pair(train, test)
    num_train = train.features.shape[0]
    if not 1 <= num_neighbors <= num_train:
        raise ValueError(
            f"num_neighbors must be from 1 to the {num_train} training rows, got {num_neighbors}; "
            "choose fewer neighbours or more training rows"
        )
    if not temperature > 0:
        raise ValueError(f"temperature of the votes must be > 0, got {temperature:g}; try 0.07")
    similarity, neighbor = nearest(test.features, train.features, num_neighbors)
    # A row's votes are all divided by the largest: exp would pass the largest float32.
    votes = np.exp((similarity - similarity[:, :1]) / temperature)
    if train.labels.ndim == 1:
        class_scores = _votes_of_classes(votes, train.labels[neighbor], num_classes)
        unlearnable: tuple[int, ...] = ()
    else:
        class_scores = _mean_labels(votes, train, neighbor)
        unlearnable = one_sided_classes(train)
    score = score_predictions(class_scores, test, unlearnable, class_mean=class_mean)
    result = KnnResult(
        metric=score.metric,
        value=score.value,
        num_neighbors=num_neighbors,
        temperature=temperature,
        num_train=num_train,
        num_test=test.features.shape[0],
        num_classes=num_classes,
        classes_skipped=score.classes_skipped,
    )
    return result, class_scores


def nearest(
    queries: np.ndarray, keys: np.ndarray, num_neighbors: int
) -> tuple[np.ndarray, np.ndarray]:
    """The most similar keys of each query by cosine, tile by tile.

    Args:
      queries: `[m, D]`.
      keys: `[n, D]`, n >= num_neighbors.
      num_neighbors: k.

    Returns:
      similarity: float32 `[m, k]` in [-1, 1], falling.
      index: int `[m, k]`, rows of `keys`; of equal similarities the first row comes first.
    """
    num_queries = queries.shape[0]
    padded = np.pad(unit_rows(queries), ((0, -num_queries % _BLOCK), (0, 0)))
    device_keys = jnp.asarray(unit_rows(keys))
    tiles = [
        _nearest_tile(padded[start : start + _BLOCK], device_keys, num_neighbors=num_neighbors)
        for start in range(0, num_queries, _BLOCK)
    ]
    similarity = np.concatenate([np.asarray(tile[0]) for tile in tiles])
    index = np.concatenate([np.asarray(tile[1]) for tile in tiles])
    return similarity[:num_queries], index[:num_queries]


def unit_rows(features: np.ndarray) -> np.ndarray:
    """Rows divided by their length, float32 `[n, D]`; a zero row stays zero."""
    rows = np.asarray(features, dtype=np.float32)
    length = np.linalg.norm(rows.astype(np.float64), axis=1, keepdims=True)
    return (rows / np.where(length > 0, length, 1.0)).astype(np.float32)


@functools.partial(jax.jit, static_argnames="num_neighbors")
def _nearest_tile(
    queries: jax.Array, keys: jax.Array, *, num_neighbors: int
) -> tuple[jax.Array, jax.Array]:
    similarity = jnp.matmul(queries, keys.T, precision=jax.lax.Precision.HIGHEST)
    values, index = jax.lax.top_k(similarity, num_neighbors)
    return values, index


def _votes_of_classes(votes: np.ndarray, labels: np.ndarray, num_classes: int) -> np.ndarray:
    """Sums votes `[m, k]` by the labels `[m, k]` of the voters into `[m, C]`."""
    class_scores = np.zeros((votes.shape[0], num_classes))
    rows = np.broadcast_to(np.arange(votes.shape[0])[:, None], votes.shape)
    np.add.at(class_scores, (rows, labels), votes)
    return class_scores


def _mean_labels(votes: np.ndarray, train: LabelledFeatures, neighbor: np.ndarray) -> np.ndarray:
    """The vote-weighted mean of the neighbours' known labels, `[m, C]`."""
    known = known_entries(train)
    positive = train.labels & known
    share = positive.sum(axis=0) / np.maximum(known.sum(axis=0), 1)
    votes_for = np.zeros((votes.shape[0], known.shape[1]))
    votes_cast = np.zeros_like(votes_for)
    for rank in range(votes.shape[1]):  # no [m, k, C] array
        weight = votes[:, rank, None]
        votes_for += weight * positive[neighbor[:, rank]]
        votes_cast += weight * known[neighbor[:, rank]]
    return np.where(votes_cast > 0, votes_for / np.maximum(votes_cast, 1e-30), share[None, :])
