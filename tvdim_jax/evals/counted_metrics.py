"""Metrics as functions of how often each example counts, which is what a bootstrap resamples."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np


class Metric(NamedTuple):
    """A metric of one run on fixed examples.

    Attributes:
      name: what is measured, such as "accuracy".
      num_examples: n.
      value: counts, float64 `[R, n]` of whole numbers >= 0 -> `[R]`, the metric as if example i
        were there `counts[r, i]` times; NaN where it is undefined.
    """

    name: str
    num_examples: int
    value: Callable[[np.ndarray], np.ndarray]


def mean_metric(name: str, values: np.ndarray) -> Metric:
    """The mean of one number an example, such as whether it was right, or a hit at rank 5.

    Args:
      name: such as "accuracy".
      values: `[n]`.
    """
    column = np.asarray(values, np.float64)
    return Metric(name, column.size, lambda counts: counts @ column / counts.sum(axis=1))


def auc_metric(
    scores: np.ndarray, labels: np.ndarray, where: np.ndarray | None = None, name: str = "mean_auc"
) -> Metric:
    """The mean of the classes' AUCs, ties counting one half, as `evals.auc` has them.

    A class without both values among the examples is left out of all resamples. Where a resample
    misses a value of another class, its mean is over the rest, for both runs alike.

    Args:
      scores: `[n, C]`, larger means more likely; `[n, 1]` for one class.
      labels: bool `[n, C]`.
      where: bool `[n, C]`, True = the label is known; None = all are.
      name: of the metric.

    Raises:
      ValueError: unequal shapes, or scores that are not finite.
    """
    if scores.shape != labels.shape or not np.isfinite(scores).all():
        raise ValueError(
            f"{name}: got scores of shape {scores.shape}, {int((~np.isfinite(scores)).sum())} of "
            f"them NaN or infinite, and labels of shape {labels.shape}, wanted finite scores and "
            "labels [n, C] both; select both by image_id"
        )
    known = np.ones(labels.shape, dtype=bool) if where is None else where
    columns = zip(scores.T, labels.T, known.T, strict=True)
    parts = [_class_auc(score, label, keep) for score, label, keep in columns]

    def value(counts: np.ndarray) -> np.ndarray:
        total, number = np.zeros(len(counts)), np.zeros(len(counts))
        for part in parts:
            auc = part(counts)
            total += np.nan_to_num(auc)
            number += np.isfinite(auc)
        return np.where(number > 0, total / np.maximum(number, 1), np.nan)

    return Metric(name, labels.shape[0], value)


def mean_over_seeds(metrics: Sequence[Metric]) -> Metric:
    """One arm of several training seeds, on the same examples: the mean of their metrics.

    Raises:
      ValueError: no metric, or metrics of unequal names or lengths.
    """
    kinds = {(metric.name, metric.num_examples) for metric in metrics}
    if len(kinds) != 1:
        raise ValueError(
            f"the seeds of one arm share a metric and its examples: got {sorted(kinds)}, wanted "
            "one; score all seeds on one split"
        )
    return metrics[0]._replace(
        value=lambda counts: np.mean([metric.value(counts) for metric in metrics], axis=0)
    )


def _class_auc(
    scores: np.ndarray, labels: np.ndarray, known: np.ndarray
) -> Callable[[np.ndarray], np.ndarray]:
    """The AUC of one class as a function of counts: P(positive above) + P(tie) / 2."""
    rows = np.flatnonzero(known)
    rows = rows[np.argsort(scores[rows], kind="stable")]
    positive = labels[rows]
    if not 0 < positive.sum() < rows.size:
        return lambda counts: np.full(len(counts), np.nan)
    ties = np.flatnonzero(np.r_[True, np.diff(scores[rows]) != 0])  # where a new score starts

    def value(counts: np.ndarray) -> np.ndarray:
        taken = counts[:, rows]
        positives = np.add.reduceat(taken * positive, ties, axis=1)
        negatives = np.add.reduceat(taken * ~positive, ties, axis=1)
        below = np.cumsum(negatives, axis=1) - negatives
        won = np.sum(positives * (below + negatives / 2), axis=1)
        pairs = positives.sum(axis=1) * negatives.sum(axis=1)
        return np.where(pairs > 0, won / np.maximum(pairs, 1), np.nan)

    return value
