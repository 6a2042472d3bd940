"""What features look like without any label: alignment, uniformity, rank, gap of modalities."""

import math

import numpy as np
from scipy.special import logsumexp

from tvdim_jax.evals.features import check_features
from tvdim_jax.evals.knn import unit_rows

_BLOCK = 1024  # distances exist for this many rows at a time


def alignment(x: np.ndarray, y: np.ndarray) -> float:
    """How near the two sides of a pair lie: mean of `||x_i / |x_i| - y_i / |y_i| ||^2`.

    Args:
      x: `[n, D]`, such as images.
      y: `[n, D]`, their partners.

    Returns:
      In [0, 4]; 0 = equal directions, 2 = what unrelated directions have on average.

    Raises:
      ValueError: features that are not finite, or of unequal shapes.

    Source: Wang and Isola 2020 (arXiv 2005.10242), alpha = 2.
    """
    _check(x, y)
    return float(np.mean(np.sum((_unit(x) - _unit(y)) ** 2, axis=1)))


def uniformity(x: np.ndarray) -> float:
    """How evenly directions fill the sphere: `log mean_i!=j exp(-2 ||x_i - x_j||^2)`.

    Each x_i is divided by its length first.

    Args:
      x: `[n, D]`, n >= 2.

    Returns:
      In [-8, 0], lower is more even; 0 = all directions are equal.

    Raises:
      ValueError: features that are not finite, or fewer than two.

    Source: Wang and Isola 2020 (arXiv 2005.10242), t = 2.
    """
    check_features(x, "features")
    if len(x) < 2:
        raise ValueError("uniformity: got 1 feature vector, wanted at least 2; embed more images")
    rows = _unit(x)
    logs = []
    for start in range(0, len(rows), _BLOCK):
        block = rows[start : start + _BLOCK]
        exponents = 4 * (block @ rows.T - 1)  # -2 ||a - b||^2 of unit vectors
        exponents[np.arange(len(block)), start + np.arange(len(block))] = -np.inf
        logs.append(logsumexp(exponents))
    return float(logsumexp(logs) - math.log(len(rows)) - math.log(len(rows) - 1))


def effective_rank(x: np.ndarray) -> float:
    """Exp of the entropy of the singular values over their sum, of features less their mean.

    The number of directions that features spread over, were the spread equal in all of them.

    Args:
      x: `[n, D]`.

    Returns:
      In [1, min(n - 1, D)]; 0 where all features are equal.

    Raises:
      ValueError: features that are not finite.

    Source: Roy and Vetterli 2007; RankMe (Garrido et al. 2023, arXiv 2210.02885) is the same
    without taking away the mean, which here would count as one direction more.
    """
    check_features(x, "features")
    values = np.asarray(x, np.float64)
    singular = np.linalg.svd(values - values.mean(axis=0), compute_uv=False)
    # What is left of equal features is rounding.
    singular = singular[singular > 1e-10 * math.sqrt(len(values)) * np.abs(values).max()]
    if not singular.size:
        return 0.0
    share = singular / singular.sum()
    return float(np.exp(-np.sum(share * np.log(share))))


def modality_gap(x: np.ndarray, y: np.ndarray) -> float:
    """Distance between the mean directions of two modalities: `|| mean x/|x| - mean y/|y| ||`.

    Args:
      x: `[n, D]`, such as images.
      y: `[n, D]`, such as texts, in the same space.

    Returns:
      In [0, 2]; 0 = the clouds have one centre.

    Raises:
      ValueError: features that are not finite, or of unequal shapes.

    Source: Liang et al. 2022 (arXiv 2203.02053).
    """
    _check(x, y)
    return float(np.linalg.norm(_unit(x).mean(axis=0) - _unit(y).mean(axis=0)))


def _unit(x: np.ndarray) -> np.ndarray:
    return unit_rows(x).astype(np.float64)


def _check(x: np.ndarray, y: np.ndarray) -> None:
    check_features(x, "x features")
    check_features(y, "y features")
    if x.shape != y.shape:
        raise ValueError(
            f"features of pairs: got shapes {x.shape} and {y.shape}, wanted one row a pair and one "
            "width; take both sides from one model, in one order"
        )
