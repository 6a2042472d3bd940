"""L2-penalised logistic regression, full batch, by L-BFGS on the device's gradients."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from scipy import linalg, optimize

from tvdim_jax.evals.labelled import LabelledFeatures, known_entries

_WIDEST_CURVATURE = 4096
_CURVATURE_ROUNDING = 1e-6  # of a float32 product, as a share of its trace


class LogisticProblem(NamedTuple):
    """What is fitted.

    Attributes:
      features: float32 `[n, D]`, or `[n, n]` in the coordinates of `basis`.
      labels: int32 `[n]` (one label) or float32 `[n, C]` of 0 and 1 (several).
      weight: float32, shape of the labels: 0 leaves a row or an entry out. Problems that differ
        in their weights only share one compilation.
      num_rows: float32 scalar, rows that take part.
      basis: `[D, n]`, orthonormal columns that span the rows, for n < D: the best weights lie in
        that span, so n numbers a class are enough to find them. None for n >= D.
      curvature: float64 `[D + 1, D + 1]`, the second moments of the rows that take part, with a
        column of ones for the bias, times the mean variance of a label; None for D above 4096,
        where factoring it costs more than it saves.
    """

    features: jax.Array
    labels: jax.Array
    weight: jax.Array
    num_rows: jax.Array
    basis: np.ndarray | None
    curvature: np.ndarray | None


class LogisticFit(NamedTuple):
    """A fitted linear classifier.

    Attributes:
      weights: float32 `[D, C]`.
      bias: float32 `[C]`, never penalised.
      objective: the minimum found, in nats per row.
      converged: L-BFGS met its tolerance before its iteration limit.
      num_iterations: of L-BFGS.
    """

    weights: np.ndarray
    bias: np.ndarray
    objective: float
    converged: bool
    num_iterations: int

    def logits(self, features: np.ndarray) -> np.ndarray:
        """`[m, D]` -> `[m, C]`."""
        return features @ self.weights + self.bias


def make_problem(train: LabelledFeatures, rows: np.ndarray | None = None) -> LogisticProblem:
    """Moves a labelled set to the device and measures its curvature.

    Args:
      train: n labelled rows.
      rows: bool `[n]`, True = takes part; None = all.

    Returns:
      The problem; ambiguous entries and rows left out weigh 0.
    """
    single = train.labels.ndim == 1
    taken = np.ones(train.features.shape[0], dtype=bool) if rows is None else rows
    weight = known_entries(train) & (taken if single else taken[:, None])
    num_rows, width = train.features.shape
    basis = np.linalg.qr(train.features.T)[0] if num_rows < width else None
    if basis is not None:
        train = train._replace(features=train.features @ basis)
    return LogisticProblem(
        features=jnp.asarray(train.features, jnp.float32),
        labels=jnp.asarray(train.labels, jnp.int32 if single else jnp.float32),
        weight=jnp.asarray(weight, jnp.float32),
        num_rows=jnp.float32(taken.sum()),
        basis=basis,
        curvature=_curvature(train, weight, taken),
    )


def _curvature(train: LabelledFeatures, weight: np.ndarray, taken: np.ndarray) -> np.ndarray | None:
    """See `LogisticProblem`."""
    if train.features.shape[1] > _WIDEST_CURVATURE:
        return None
    if train.labels.ndim == 1:
        shares = np.bincount(train.labels[taken]) / taken.sum()
    else:
        shares = (train.labels & weight).sum(axis=0) / taken.sum()
    inputs = np.c_[train.features[taken], np.ones(taken.sum())].astype(np.float32)
    variance = max(float(np.mean(shares * (1 - shares))), 1e-3)
    return variance * (inputs.T @ inputs).astype(np.float64)


def fit_logistic(
    problem: LogisticProblem,
    num_classes: int,
    penalty: float,
    *,
    start: LogisticFit | None = None,
    tolerance: float = 1e-7,
    max_iterations: int = 2000,
) -> LogisticFit:
    """Minimises the penalised logistic loss.

    One label: multinomial, `(sum_i -log softmax(z_i)[y_i] + penalty / 2 ||W||^2) / n`. Several:
    one-vs-rest, `(sum_ic known_ic (softplus(z_ic) - y_ic z_ic) + penalty / 2 ||W||^2) / n`. With
    n rows and `z = X W + b` both are the objective of scikit-learn's LogisticRegression (Pedregosa
    et al. 2011) with `C = 1 / penalty`, divided by `C n`.

    Args:
      problem: the rows.
      num_classes: C.
      penalty: > 0.
      start: where to begin, for a warm start; None = zero weights.
      tolerance: stops at a step that lowers the objective by less than this share of it; below
        1e-7 a float32 objective only shows its rounding.
      max_iterations: of L-BFGS, after which it has not converged.

    Returns:
      The fit.
    """
    shape = (problem.features.shape[1] + 1, num_classes)
    factor = _factor(problem, penalty)

    def objective(flat: np.ndarray) -> tuple[float, np.ndarray]:
        parameters = _solve(factor, flat.reshape(shape), "T")
        value, gradient = _objective_and_gradient(
            jnp.asarray(parameters, jnp.float32),
            (problem.features, problem.labels, problem.weight),
            problem.num_rows,
            penalty,
        )
        return float(value), _solve(factor, np.asarray(gradient), "N").ravel()

    initial = np.zeros(shape)
    if start is not None:
        weights = start.weights if problem.basis is None else problem.basis.T @ start.weights
        initial = np.vstack([weights, start.bias])
    initial = initial if factor is None else factor.T @ initial
    limits = {
        "maxiter": max_iterations,
        "maxfun": 2 * max_iterations,
        "maxcor": 20,
        "ftol": tolerance,
        "gtol": 1e-6,
    }
    found = optimize.minimize(
        objective, initial.ravel(), method="L-BFGS-B", jac=True, options=limits
    )
    parameters = _solve(factor, found.x.reshape(shape), "T").astype(np.float32)
    weights = parameters[:-1] if problem.basis is None else problem.basis @ parameters[:-1]
    return LogisticFit(
        weights, parameters[-1], float(found.fun), bool(found.success), int(found.nit)
    )


def _factor(problem: LogisticProblem, penalty: float) -> np.ndarray | None:
    """Lower L with L L^T about the Hessian of the objective.

    L-BFGS sees `L^T W` instead of W: the same minimum, in tens of steps where correlated features
    need hundreds. None = W itself.
    """
    if problem.curvature is None:
        return None
    # Of features in few directions the curvature is 0 elsewhere, and rounding makes it negative.
    rounding = _CURVATURE_ROUNDING * float(np.trace(problem.curvature))
    penalties = np.full(problem.curvature.shape[0], penalty + rounding)
    penalties[-1] = rounding  # the bias
    hessian = (problem.curvature + np.diag(penalties)) / float(problem.num_rows)
    return linalg.cholesky(hessian, lower=True)


def _solve(factor: np.ndarray | None, right: np.ndarray, transposed: str) -> np.ndarray:
    """`L^-1 right` ("N") or `L^-T right` ("T"), float64."""
    if factor is None:
        return right.astype(np.float64)
    return linalg.solve_triangular(factor, right, lower=True, trans=transposed)


@jax.jit
def _objective_and_gradient(
    parameters: jax.Array,
    data: tuple[jax.Array, jax.Array, jax.Array],
    num_rows: jax.Array,
    penalty: jax.Array | float,
) -> tuple[jax.Array, jax.Array]:
    """The objective of `fit_logistic` at `parameters` `[D + 1, C]`, whose last row is the bias."""
    features, labels, weight = data

    def objective(parameters: jax.Array) -> jax.Array:
        weights, bias = parameters[:-1], parameters[-1]
        logits = jnp.matmul(features, weights, precision=jax.lax.Precision.HIGHEST) + bias[None, :]
        if labels.ndim == 1:
            own = jnp.take_along_axis(logits, labels[:, None], axis=1)[:, 0]
            losses = jax.nn.logsumexp(logits, axis=1) - own
        else:
            losses = jax.nn.softplus(logits) - labels * logits
        return (jnp.sum(weight * losses) + 0.5 * penalty * jnp.sum(weights**2)) / num_rows

    return jax.value_and_grad(objective)(parameters)
