import numpy as np
import pytest
from scipy.special import log_softmax
from sklearn.linear_model import LogisticRegression

from tvdim_jax.evals import logistic
from tvdim_jax.evals.labelled import LabelledFeatures


def blobs(n=400, width=12, num_classes=4, seed=0):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, num_classes, n)
    centres = rng.normal(size=(num_classes, width))
    features = centres[labels] + 1.5 * rng.normal(size=(n, width))
    return LabelledFeatures(features.astype(np.float32), labels)


def sklearn_fit(features, labels, penalty):
    model = LogisticRegression(C=1 / penalty, tol=1e-10, max_iter=5000)
    return model.fit(features.astype(np.float64), labels)


def softmax_objective(weights, bias, data, penalty):
    log_p = log_softmax(data.features.astype(np.float64) @ weights + bias, axis=1)
    loss = -log_p[np.arange(len(data.labels)), data.labels].sum()
    return (loss + penalty / 2 * (weights**2).sum()) / len(data.labels)


@pytest.mark.parametrize("penalty", [1e-1, 1e1, 1e3])
def test_one_label_equals_sklearn(penalty):
    data, unseen = blobs(), blobs(seed=1)
    fit = logistic.fit_logistic(logistic.make_problem(data), 4, penalty)
    golden = sklearn_fit(data.features, data.labels, penalty)
    wanted = softmax_objective(golden.coef_.T, golden.intercept_, data, penalty)
    assert fit.converged
    assert fit.objective == pytest.approx(wanted, rel=1e-4)
    assert softmax_objective(fit.weights, fit.bias, data, penalty) == pytest.approx(
        fit.objective, rel=1e-5
    )
    agree = fit.logits(unseen.features).argmax(1) == golden.predict(unseen.features)
    assert agree.mean() >= 0.998


def test_more_coordinates_than_rows_equal_sklearn_and_start_warm():
    data, unseen = blobs(n=50, width=120), blobs(n=200, width=120, seed=1)
    rows = np.arange(50) < 40
    golden = sklearn_fit(data.features[rows], data.labels[rows], 3.0)
    problem = logistic.make_problem(data, rows)
    first = logistic.fit_logistic(problem, 4, 30.0)
    fit = logistic.fit_logistic(problem, 4, 3.0, start=first)
    taken = LabelledFeatures(data.features[rows], data.labels[rows])
    wanted = softmax_objective(golden.coef_.T, golden.intercept_, taken, 3.0)
    assert fit.weights.shape == (120, 4)
    assert softmax_objective(fit.weights, fit.bias, taken, 3.0) == pytest.approx(wanted, rel=1e-4)
    agree = fit.logits(unseen.features).argmax(1) == golden.predict(unseen.features)
    assert agree.mean() >= 0.99


@pytest.mark.parametrize("centre", [0.0, 10.0])
def test_features_in_few_directions_equal_sklearn(centre):
    """As of an encoder that has nearly collapsed: rounding makes their curvature negative."""
    rng = np.random.default_rng(0)
    few = rng.normal(size=(1500, 3))
    features = (few @ rng.normal(size=(3, 200)) + centre).astype(np.float32)
    data = LabelledFeatures(features, (few[:, 0] + rng.normal(size=1500) > 0).astype(np.int64))
    fit = logistic.fit_logistic(logistic.make_problem(data), 2, 1e-3)
    golden = sklearn_fit(features, data.labels, 5e-4)  # of two classes it fits one vector
    halves = [golden.coef_[0] / sign for sign in (-2, 2)], golden.intercept_[0] / [-2, 2]
    wanted = softmax_objective(np.stack(halves[0], axis=1), halves[1], data, 1e-3)
    assert fit.objective == pytest.approx(wanted, rel=1e-4)


def test_several_labels_equal_sklearn_class_by_class():
    rng = np.random.default_rng(3)
    features = rng.normal(size=(300, 8)).astype(np.float32)
    labels = features @ rng.normal(size=(8, 3)) + rng.normal(size=(300, 3)) > 0.5
    where = rng.random((300, 3)) < 0.7
    data = LabelledFeatures(features, labels, where)
    fit = logistic.fit_logistic(logistic.make_problem(data), 3, 5.0)
    total = 0.0
    for c in range(3):
        known = where[:, c]
        golden = sklearn_fit(features[known], labels[known, c], 5.0)
        np.testing.assert_allclose(fit.weights[:, c], golden.coef_[0], atol=2e-3)
        np.testing.assert_allclose(fit.bias[c], golden.intercept_[0], atol=2e-3)
        logits = golden.decision_function(features[known])
        total += np.sum(np.logaddexp(0, logits) - labels[known, c] * logits)
        total += 5.0 / 2 * np.sum(golden.coef_**2)
    assert fit.objective == pytest.approx(total / 300, rel=1e-4)


@pytest.mark.parametrize("widest", [12, 11])
def test_correlated_features_reach_the_same_minimum(monkeypatch, widest):
    monkeypatch.setattr(logistic, "_WIDEST_CURVATURE", widest)
    data = blobs(seed=5)
    rng = np.random.default_rng(6)
    mixing = np.linalg.qr(rng.normal(size=(12, 12)))[0] * np.geomspace(0.1, 3, 12)
    mixed = data._replace(features=(data.features @ mixing).astype(np.float32))
    problem = logistic.make_problem(mixed)
    assert (problem.curvature is None) == (widest == 11)
    start = logistic.fit_logistic(problem, 4, 10.0)
    fit = logistic.fit_logistic(problem, 4, 0.1, start=start)
    golden = sklearn_fit(mixed.features, mixed.labels, 0.1)
    wanted = softmax_objective(golden.coef_.T, golden.intercept_, mixed, 0.1)
    assert fit.objective == pytest.approx(wanted, rel=1e-4)


def test_rows_left_out_do_not_count_and_penalties_share_one_compilation():
    data = blobs(n=120)
    rows = np.arange(120) < 80
    part = LabelledFeatures(data.features[:80], data.labels[:80])
    before = logistic._objective_and_gradient._cache_size()
    masked = logistic.fit_logistic(logistic.make_problem(data, rows), 4, 3.0)
    logistic.fit_logistic(logistic.make_problem(data), 4, 30.0, start=masked)
    assert logistic._objective_and_gradient._cache_size() == before + 1
    alone = logistic.fit_logistic(logistic.make_problem(part), 4, 3.0)
    assert masked.objective == pytest.approx(alone.objective, rel=1e-5)
    np.testing.assert_allclose(masked.weights, alone.weights, atol=2e-3)


def test_it_stops_when_its_iterations_are_used_up():
    problem = logistic.make_problem(blobs())
    stopped = logistic.fit_logistic(problem, 4, 0.1, max_iterations=2)
    assert not stopped.converged
    fit = logistic.fit_logistic(problem, 4, 0.1)
    assert fit.converged
    assert fit.objective < stopped.objective < np.log(4)
