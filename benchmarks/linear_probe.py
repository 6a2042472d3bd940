"""CPU seconds of one linear probe, ours and scikit-learn's, on the same features.

Command: python benchmarks/linear_probe.py --size full --json benchmarks/results/linear_probe.json

Multinomial logistic regression, one penalty, full batch, float32 features, L-BFGS from zero
weights; both stop after 50 iterations, or where the objective does not fall any more in float32;
how many they made is given. Seconds are user and system time of all threads of the process; ours
leave the compilation out, which is given beside them, and hold the transfer and the factor that
preconditions. The objective is computed alike for both, in float64.
"""

import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy.special import logsumexp
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

sys.path.insert(0, str(Path(__file__).parents[1]))  # finds benchmarks.loss_costs from anywhere

from benchmarks.loss_costs.arguments import parse
from benchmarks.loss_costs.report import Row, device_name, print_rows, write_json
from tvdim_jax.evals.labelled import LabelledFeatures
from tvdim_jax.evals.logistic import fit_logistic, make_problem

EXAMPLE = "example: python benchmarks/linear_probe.py"
ITERATIONS, PENALTY, NUM_TEST = 50, 10.0, 2_000


class Size(NamedTuple):
    """Rows to fit, width D and classes C."""

    num_train: int
    width: int
    num_classes: int


SIZES = {"small": Size(2_000, 64, 10), "full": Size(50_000, 2_048, 1_000)}


class Linear(NamedTuple):
    """A fitted classifier: weights `[D, C]`, bias `[C]`, and the iterations that it took."""

    weights: np.ndarray
    bias: np.ndarray
    num_iterations: int


def main(arguments: list[str] | None = None) -> None:
    """Fits both, prints a table and writes the JSON."""
    size, file = parse(__doc__, EXAMPLE, SIZES, arguments)
    train, test = draw(size, size.num_train, seed=1), draw(size, NUM_TEST, seed=2)
    compile_seconds, _ = cpu_seconds(lambda: fit_ours(train, size.num_classes, 1))
    rows = []
    for name, fit in (
        ("tvdim_jax", lambda: fit_ours(train, size.num_classes, ITERATIONS)),
        ("scikit-learn", lambda: fit_sklearn(train, ITERATIONS)),
    ):
        seconds, found = cpu_seconds(fit)
        row: Row = {"probe": name, **size._asdict(), "cpu_seconds": seconds}
        row["iterations"] = found.num_iterations
        row["objective_nats"] = objective(found, train)
        row["accuracy"] = accuracy(found, test)
        rows.append(row)
    rows[0]["first_fit_cpu_seconds"] = compile_seconds
    print_rows(f"linear probe, at most {ITERATIONS} iterations, penalty {PENALTY:g}", rows)
    if file:
        write_json(file, {"linear_probe": rows}, [], device_name())


def draw(size: Size, count: int, seed: int) -> LabelledFeatures:
    """Classes round centres of their own, apart by about eight times the noise's deviation."""
    centres = np.random.default_rng(0).normal(size=(size.num_classes, size.width))
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, size.num_classes, count)
    features = rng.normal(size=(count, size.width)).astype(np.float32)
    features += (4 * np.sqrt(2 / size.width) * centres[labels]).astype(np.float32)
    return LabelledFeatures(features, labels)


def cpu_seconds(run: Callable[[], Linear]) -> tuple[float, Linear]:
    """Seconds of all threads, and what `run` gives."""
    start = time.process_time()
    found = run()
    return time.process_time() - start, found


def fit_ours(train: LabelledFeatures, num_classes: int, iterations: int) -> Linear:
    """By `evals.logistic`, which the linear probe fits with."""
    fit = fit_logistic(
        make_problem(train), num_classes, PENALTY, tolerance=0.0, max_iterations=iterations
    )
    return Linear(fit.weights, fit.bias, fit.num_iterations)


def fit_sklearn(train: LabelledFeatures, iterations: int) -> Linear:
    """By scikit-learn's solver of the same name."""
    model = LogisticRegression(C=1 / PENALTY, tol=0.0, max_iter=iterations)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # it is meant to stop there
        model.fit(train.features, train.labels)
    return Linear(model.coef_.T, model.intercept_, int(model.n_iter_.max()))


def objective(found: Linear, data: LabelledFeatures) -> float:
    """`(sum of cross-entropies + penalty / 2 ||W||^2) / n`, in nats, by blocks of rows."""
    total = 0.5 * PENALTY * float(np.sum(np.asarray(found.weights, np.float64) ** 2))
    for start in range(0, len(data.labels), 4096):
        rows = slice(start, start + 4096)
        logits = (data.features[rows] @ found.weights + found.bias).astype(np.float64)
        own = np.take_along_axis(logits, data.labels[rows, None], axis=1)[:, 0]
        total += float(np.sum(logsumexp(logits, axis=1) - own))
    return total / len(data.labels)


def accuracy(found: Linear, data: LabelledFeatures) -> float:
    """Share of right rows."""
    predicted = (data.features @ found.weights + found.bias).argmax(axis=1)
    return float(np.mean(predicted == data.labels))


if __name__ == "__main__":
    main()
