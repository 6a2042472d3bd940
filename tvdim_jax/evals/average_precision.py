"""Average precision of a ranking, with ties and ambiguous labels; their mean is mAP."""

from collections.abc import Sequence

import numpy as np


def average_precision(scores: np.ndarray, labels: np.ndarray) -> float:
    """Mean precision at the positives of a ranking.

    Equation: `sum_k (recall_k - recall_(k-1)) precision_k` over the different scores from the
    highest on, those of at least the k-th taken as found: rows of equal scores enter together.
    Not interpolated, so it is scikit-learn's average_precision_score and not that of VOC 2007.

    Args:
      scores: `[n]`, larger means more likely positive.
      labels: bool `[n]`.

    Returns:
      In (0, 1]; NaN without a positive.
    """
    positive = np.asarray(labels, dtype=bool)
    if not positive.any():
        return float("nan")
    values, group = np.unique(-np.asarray(scores, np.float64), return_inverse=True)
    found = np.cumsum(np.bincount(group, minlength=values.size))
    hits = np.bincount(group, weights=positive, minlength=values.size)
    precision = np.cumsum(hits) / found
    return float((hits * precision).sum() / positive.sum())


def class_average_precisions(
    scores: np.ndarray, labels: np.ndarray, where: np.ndarray | None = None
) -> np.ndarray:
    """`average_precision` of every class over its unambiguous entries.

    Args:
      scores: `[n, C]`, finite.
      labels: bool `[n, C]`.
      where: bool `[n, C]`, True = the label is known; None = all are.

    Returns:
      float64 `[C]`, NaN for a class without a positive among its known labels.
    """
    known = np.ones(labels.shape, dtype=bool) if where is None else where
    columns = zip(scores.T, labels.T, known.T, strict=True)
    return np.array([average_precision(score[keep], label[keep]) for score, label, keep in columns])


def mean_average_precision(
    scores: np.ndarray,
    labels: np.ndarray,
    where: np.ndarray | None = None,
    *,
    classes_skipped: Sequence[int] = (),
) -> float:
    """mAP: the plain mean over the classes that have a positive.

    Args:
      scores: `[n, C]`.
      labels: bool `[n, C]`.
      where: bool `[n, C]`, True = the label is known; None = all are.
      classes_skipped: classes to leave out, such as those that could not be learned.

    Returns:
      In (0, 1].

    Raises:
      ValueError: unequal shapes, scores that are not finite, or no class with a positive.
    """
    if scores.shape != labels.shape or not np.isfinite(scores).all():
        raise ValueError(
            f"mAP: got scores of shape {scores.shape}, {int((~np.isfinite(scores)).sum())} of them "
            f"NaN or infinite, and labels of shape {labels.shape}, wanted finite scores and labels "
            "[n, C] both; select both by image_id"
        )
    precisions = class_average_precisions(scores, labels, where)
    precisions[list(classes_skipped)] = np.nan
    scored = precisions[~np.isnan(precisions)]
    if not scored.size:
        raise ValueError(
            f"mAP is undefined: got {precisions.size} classes, none with a positive known label; "
            "evaluate on more examples or drop rare labels"
        )
    return float(scored.mean())
