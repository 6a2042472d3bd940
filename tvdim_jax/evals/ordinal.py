"""Severity grades from class probabilities: the ordinal AUCs of the edema task of LMI.

Protocol of github.com/RayRuizhiLiao/resnet_chestxray: grades 0 none, 1 congestion, 2 interstitial,
3 alveolar edema; a softmax over the grades gives the probabilities.
"""

import itertools
from typing import NamedTuple

import numpy as np

from tvdim_jax.evals.auc import roc_auc


class OrdinalResult(NamedTuple):
    """What was measured and by which protocol; `_asdict()` is JSON.

    Attributes:
      metric: "mean_ordinal_auc".
      value: plain mean of the ordinal AUCs that are defined, in [0, 1].
      ordinal_aucs: "0v123", "01v23", "012v3" (for four grades): of P(y >= k), the images of grade k
        and above against those below; None where one side has no image.
      pairwise_aucs: "0v1" and so on: of P(y = j) / (P(y = i) + P(y = j)), images of grade j against
        those of grade i; 1/2 where both probabilities are 0.
      expected_grade_mse: mean of (sum_c c P(y = c) - y)^2, grades squared.
      num_test: images.
      grade_counts: images of each grade.
    """

    metric: str
    value: float
    ordinal_aucs: dict[str, float | None]
    pairwise_aucs: dict[str, float | None]
    expected_grade_mse: float
    num_test: int
    grade_counts: tuple[int, ...]


def evaluate(probabilities: np.ndarray, labels: np.ndarray) -> OrdinalResult:
    """Scores the probabilities of the grades.

    Args:
      probabilities: `[n, C]`, rows that sum to 1, at least 2 grades.
      labels: int `[n]` in [0, C).

    Returns:
      The score and the protocol.

    Raises:
      ValueError: shapes that do not fit together, rows that are no probabilities, a label out of
        range, or images of a single grade.
    """
    _check(probabilities, labels)
    probabilities = probabilities.astype(np.float64)
    num_images, num_grades = probabilities.shape
    grades = range(num_grades)
    ordinal = {
        _name(grades[:k], grades[k:]): roc_auc(probabilities[:, k:].sum(axis=1), labels >= k)
        for k in grades[1:]
    }
    pairwise = {
        _name((i,), (j,)): roc_auc(_share(probabilities[pair], i, j), labels[pair] == j)
        for i, j in itertools.combinations(grades, 2)
        for pair in [(labels == i) | (labels == j)]
    }
    return OrdinalResult(
        metric="mean_ordinal_auc",
        value=float(np.nanmean(list(ordinal.values()))),
        ordinal_aucs=_without_nan(ordinal),
        pairwise_aucs=_without_nan(pairwise),
        expected_grade_mse=float(np.mean((probabilities @ np.arange(num_grades) - labels) ** 2)),
        num_test=num_images,
        grade_counts=tuple(np.bincount(labels, minlength=num_grades).tolist()),
    )


def _share(probabilities: np.ndarray, i: int, j: int) -> np.ndarray:
    """P(y = j) given that it is i or j."""
    low, high = probabilities[:, i], probabilities[:, j]
    return np.divide(high, low + high, out=np.full(high.shape, 0.5), where=low + high > 0)


def _name(low: range | tuple[int, ...], high: range | tuple[int, ...]) -> str:
    return f"{''.join(map(str, low))}v{''.join(map(str, high))}"


def _without_nan(aucs: dict[str, float]) -> dict[str, float | None]:
    return {name: None if np.isnan(auc) else auc for name, auc in aucs.items()}


def _check(probabilities: np.ndarray, labels: np.ndarray) -> None:
    if probabilities.ndim != 2 or labels.shape != probabilities.shape[:1]:
        raise ValueError(
            f"grades: got probabilities of shape {probabilities.shape} and labels of shape "
            f"{labels.shape}, wanted [n, C] and [n]; select both by image_id"
        )
    sums = probabilities.sum(axis=1)
    if not ((probabilities >= 0).all() and np.allclose(sums, 1, atol=1e-3)):
        raise ValueError(
            f"grades: got rows that sum to {sums.min():.3g} to {sums.max():.3g}, lowest entry "
            f"{probabilities.min():.3g}, wanted probabilities; put logits through a softmax"
        )
    found = np.unique(labels)
    if labels.dtype.kind != "i" or found[0] < 0 or found[-1] >= probabilities.shape[1]:
        raise ValueError(
            f"grades: got labels {labels.dtype} {found.tolist()}, wanted int in [0, "
            f"{probabilities.shape[1]}); leave images without a grade out"
        )
    if found.size < 2:
        raise ValueError(
            f"ordinal AUC is undefined: got images of grade {int(found[0])} only, wanted at least "
            "2 grades; score more images"
        )
