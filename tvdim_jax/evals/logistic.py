"""L2-penalised logistic regression, full batch, by L-BFGS on the device's gradients."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from scipy import optimize

from tvdim_jax.evals.labelled import LabelledFeatures, known_entries


class LogisticProblem(NamedTuple):
    """What is fitted, on the device.

    Attributes:
      features: float32 `[n, D]`.
      labels: int32 `[n]` (one label) or float32 `[n, C]` of 0 and 1 (several).
      weight: float32, shape of the labels: 0 leaves a row or an entry out. Problems that differ
        in their weights only share one compilation.
      num_rows: float32 scalar, rows that take part.
    """

    features: jax.Array
    labels: jax.Array
    weight: jax.Array
    num_rows: jax.Array


class LogisticFit(NamedTuple):
    """A fitted linear classifier.

    Attributes:
      weights: float32 `[D, C]`.
      bias: float32 `[C]`, never penalised.
      objective: the minimum found, in nats per row.
      converged: L-BFGS met its tolerance before its iteration limit.
    """

    weights: np.ndarray
    bias: np.ndarray
    objective: float
    converged: bool

    def logits(self, features: np.ndarray) -> np.ndarray:
        """`[m, D]` -> `[m, C]`."""
        return features @ self.weights + self.bias


def make_problem(train: LabelledFeatures, rows: np.ndarray | None = None) -> LogisticProblem:
    """Moves a labelled set to the device.

    Args:
      train: n labelled rows.
      rows: bool `[n]`, True = takes part; None = all.

    Returns:
      The problem; ambiguous entries and rows left out weigh 0.
    """
    single = train.labels.ndim == 1
    taken = np.ones(train.features.shape[0], dtype=bool) if rows is None else rows
    weight = known_entries(train) & (taken if single else taken[:, None])
    return LogisticProblem(
        features=jnp.asarray(train.features, jnp.float32),
        labels=jnp.asarray(train.labels, jnp.int32 if single else jnp.float32),
        weight=jnp.asarray(weight, jnp.float32),
        num_rows=jnp.float32(taken.sum()),
    )


def fit_logistic(
    problem: LogisticProblem, num_classes: int, penalty: float, start: LogisticFit | None = None
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

    Returns:
      The fit.
    """
    shape = (problem.features.shape[1] + 1, num_classes)

    def objective(flat: np.ndarray) -> tuple[float, np.ndarray]:
        parameters = jnp.asarray(flat.reshape(shape), jnp.float32)
        value, gradient = _objective_and_gradient(parameters, problem, penalty)
        return float(value), np.asarray(gradient, dtype=np.float64).ravel()

    initial = np.zeros(shape) if start is None else np.vstack([start.weights, start.bias])
    # A step that lowers a float32 objective by less than 1e-7 of itself is rounding noise.
    limits = {"maxiter": 2000, "maxfun": 4000, "maxcor": 20, "ftol": 1e-7, "gtol": 1e-6}
    found = optimize.minimize(
        objective, initial.ravel(), method="L-BFGS-B", jac=True, options=limits
    )
    parameters = found.x.reshape(shape).astype(np.float32)
    return LogisticFit(parameters[:-1], parameters[-1], float(found.fun), bool(found.success))


@jax.jit
def _objective_and_gradient(
    parameters: jax.Array, problem: LogisticProblem, penalty: jax.Array | float
) -> tuple[jax.Array, jax.Array]:
    """The objective of `fit_logistic` at `parameters` `[D + 1, C]`, whose last row is the bias."""

    def objective(parameters: jax.Array) -> jax.Array:
        weights, bias = parameters[:-1], parameters[-1]
        logits = jnp.matmul(problem.features, weights, precision=jax.lax.Precision.HIGHEST)
        logits = logits + bias[None, :]
        if problem.labels.ndim == 1:
            own = jnp.take_along_axis(logits, problem.labels[:, None], axis=1)[:, 0]
            losses = jax.nn.logsumexp(logits, axis=1) - own
        else:
            losses = jax.nn.softplus(logits) - problem.labels * logits
        loss = jnp.sum(problem.weight * losses)
        return (loss + 0.5 * penalty * jnp.sum(weights**2)) / problem.num_rows

    return jax.value_and_grad(objective)(parameters)
