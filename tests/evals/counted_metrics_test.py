import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from tvdim_jax.evals.auc import class_aucs
from tvdim_jax.evals.counted_metrics import auc_metric, mean_metric, mean_over_seeds


def counts_of(num_resamples, n, seed=0):
    rng = np.random.default_rng(seed)
    return rng.multinomial(n, np.full(n, 1 / n), size=num_resamples).astype(np.float64)


def test_the_mean_is_that_of_the_repeated_examples():
    counts, values = counts_of(5, 30), np.random.default_rng(1).normal(size=30)
    wanted = [np.repeat(values, row.astype(int)).mean() for row in counts]
    metric = mean_metric("loss", values)
    np.testing.assert_allclose(metric.value(counts), wanted, rtol=1e-12)
    assert metric[:2] == ("loss", 30)


@pytest.mark.parametrize("num_values", [3, 10_000])
def test_the_auc_is_that_of_the_repeated_examples(num_values):
    rng = np.random.default_rng(num_values)
    scores, labels = rng.integers(0, num_values, (60, 2)), rng.random((60, 2)) < 0.3
    where = rng.random((60, 2)) < 0.8
    counts = counts_of(7, 60)
    got = auc_metric(scores, labels, where).value(counts)
    for row, value in zip(counts.astype(int), got, strict=True):
        taken = np.repeat(np.arange(60), row)
        each = [
            roc_auc_score(labels[rows, c], scores[rows, c])
            for c in range(2)
            for rows in [taken[where[taken, c]]]
        ]
        assert value == pytest.approx(np.mean(each), abs=1e-12)
    whole = auc_metric(scores, labels, where).value(np.ones((1, 60)))
    assert whole[0] == pytest.approx(class_aucs(scores, labels, where).mean(), abs=1e-12)


def test_classes_that_miss_a_value_leave_the_mean():
    scores = np.array([[0.0, 1, 5], [1, 0, 6], [2, 2, 7]])
    labels = np.array([[0, 1, 1], [1, 0, 1], [1, 1, 1]], bool)  # the last class is one-sided
    counts = np.array([[1.0, 1, 1], [0, 1, 1], [0, 0, 3]])
    got = auc_metric(scores, labels).value(counts)
    np.testing.assert_array_equal(got, [(1 + 1) / 2, 1.0, np.nan])


def test_the_seeds_of_an_arm():
    metrics = [mean_metric("accuracy", np.eye(4)[row]) for row in (0, 2)]
    got = mean_over_seeds(metrics).value(np.array([[4.0, 0, 0, 0], [1, 1, 2, 0]]))
    np.testing.assert_allclose(got, [0.5, (1 / 4 + 2 / 4) / 2])
    for wrong in ([], [metrics[0], mean_metric("accuracy", np.ones(3))]):
        with pytest.raises(ValueError, match=r"seeds of one arm share a metric .* wanted one"):
            mean_over_seeds(wrong)


def test_scores_that_cannot_be_ranked():
    labels = np.array([[True], [False]])
    with pytest.raises(ValueError, match=r"shape \(2, 1\), 1 of them NaN or infinite"):
        auc_metric(np.array([[1.0], [np.nan]]), labels)
    with pytest.raises(ValueError, match=r"scores of shape \(2,\), 0 of them"):
        auc_metric(np.array([1.0, 2.0]), labels)
