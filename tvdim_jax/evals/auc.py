"""Area under the ROC curve, with ties and ambiguous labels."""

import numpy as np
from scipy import stats


def roc_auc(scores: np.ndarray, labels: np.ndarray) -> float:
    """P(score of a positive > score of a negative), a tie counting one half.

    Equation (Mann-Whitney): `(sum of the positives' ranks - P (P + 1) / 2) / (P N)`, with mean
    ranks for ties, P positives and N negatives.

    Args:
      scores: `[n]`, larger means more likely positive.
      labels: bool `[n]`.

    Returns:
      The area in [0, 1]; NaN where a value of the label is absent.
    """
    positive = np.asarray(labels, dtype=bool)
    num_positive = int(positive.sum())
    num_negative = positive.size - num_positive
    if num_positive == 0 or num_negative == 0:
        return float("nan")
    ranks = stats.rankdata(np.asarray(scores, dtype=np.float64))
    excess = ranks[positive].sum() - num_positive * (num_positive + 1) / 2
    return float(excess / (num_positive * num_negative))


def class_aucs(
    scores: np.ndarray, labels: np.ndarray, where: np.ndarray | None = None
) -> np.ndarray:
    """`roc_auc` of every class over its unambiguous entries.

    Args:
      scores: `[n, C]`.
      labels: bool `[n, C]`.
      where: bool `[n, C]`, True = the label is known; None = all are.

    Returns:
      float64 `[C]`, NaN for a class without both values among its known labels.
    """
    known = np.ones(labels.shape, dtype=bool) if where is None else where
    columns = zip(scores.T, labels.T, known.T, strict=True)
    return np.array([roc_auc(score[keep], label[keep]) for score, label, keep in columns])
