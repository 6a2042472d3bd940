import numpy as np
import pytest

from tvdim_jax.evals import knn
from tvdim_jax.evals.auc import roc_auc
from tvdim_jax.evals.labelled import LabelledFeatures


def cosine(a, b):
    return float(a @ b / (np.linalg.norm(a) * np.linalg.norm(b)))


def loop_neighbors(query, keys, k):
    similarity = np.array([cosine(query, key) for key in keys])
    order = np.argsort(-similarity, kind="stable")[:k]
    return order, np.exp(similarity[order] / 0.07)


def data(n, seed, width=5):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 3, n)
    return (rng.normal(size=(n, width)) + np.eye(3, width)[labels]).astype(np.float32), labels


def test_accuracy_equals_a_loop_over_more_than_one_tile(monkeypatch):
    monkeypatch.setattr(knn, "_BLOCK", 16)
    (train, train_labels), (test, test_labels) = data(70, 0), data(37, 1)
    hits = 0
    for query, label in zip(test, test_labels, strict=True):
        order, votes = loop_neighbors(query, train, 9)
        hits += label == np.argmax([votes[train_labels[order] == c].sum() for c in range(3)])
    found = knn.evaluate(
        LabelledFeatures(train, train_labels), LabelledFeatures(test, test_labels), num_neighbors=9
    )
    assert found == ("accuracy", pytest.approx(hits / 37), 9, 0.07, 70, 37, 3, ())
    assert 0.4 < found.value < 1


def test_the_mean_over_classes():
    (train, train_labels), (test, test_labels) = data(70, 0), data(37, 1)
    parts = LabelledFeatures(train, train_labels), LabelledFeatures(test, test_labels)
    found, votes = knn.predict(*parts, num_neighbors=9, class_mean=True)
    right = votes.argmax(axis=1) == test_labels
    of_classes = [right[test_labels == c].mean() for c in range(3)]
    assert found[:2] == ("class_mean_accuracy", pytest.approx(np.mean(of_classes)))
    assert found.value != knn.evaluate(*parts, num_neighbors=9).value
    assert knn.evaluate(*parts, num_neighbors=9, class_mean=True) == found


def test_mean_auc_equals_a_loop_with_ambiguous_labels():
    (train, _), (test, _) = data(60, 0), data(40, 1)
    rng = np.random.default_rng(2)
    train_set = LabelledFeatures(train, train[:, :3] > 0.5, rng.random((60, 3)) < 0.6)
    test_set = LabelledFeatures(test, test[:, :3] > 0.5, rng.random((40, 3)) < 0.8)
    train_set.where[:, 2] = np.arange(60) < 3  # most neighbourhoods know nothing of class 2
    train_set.labels[:3, 2] = [True, False, True]
    expected = np.zeros((40, 3))
    for i, query in enumerate(test):
        order, votes = loop_neighbors(query, train, 5)
        for c in range(3):
            known = [(v, train_set.labels[j, c]) for v, j in zip(votes, order, strict=True)
                     if train_set.where[j, c]]  # fmt: skip
            share = train_set.labels[train_set.where[:, c], c].mean()
            cast = sum(v for v, _ in known)
            expected[i, c] = sum(v * y for v, y in known) / cast if known else share
    assert (expected[:, 2] == 2 / 3).sum() > 20
    aucs = [roc_auc(expected[w, c], test_set.labels[w, c])
            for c, w in enumerate(test_set.where.T)]  # fmt: skip
    found = knn.evaluate(train_set, test_set, num_neighbors=5)
    assert found.metric == "mean_auc"
    assert found.value == pytest.approx(np.mean(aucs), abs=1e-6)


def test_nearest_orders_ties_by_row_and_knows_zero_rows():
    keys = np.array([[0, 0], [1, 0], [2, 0], [0, 1]], np.float32)
    similarity, index = knn.nearest(np.array([[3.0, 0]]), keys, 3)
    np.testing.assert_array_equal(index, [[1, 2, 0]])
    np.testing.assert_array_equal(similarity, [[1, 1, 0]])


def test_unit_rows():
    np.testing.assert_allclose(knn.unit_rows(np.array([[3, 4], [0, 0]])), [[0.6, 0.8], [0, 0]])


def test_too_many_neighbors():
    part = LabelledFeatures(*data(10, 0))
    with pytest.raises(ValueError, match="from 1 to the 10 training rows, got 20"):
        knn.evaluate(part, part)


def test_votes_of_a_small_temperature_are_finite():
    """Only the nearest neighbour counts then; `exp(1 / 0.001)` is no float32."""
    (train, train_labels), (test, test_labels) = data(50, 0), data(30, 1)
    parts = LabelledFeatures(train, train_labels), LabelledFeatures(test, test_labels)
    _, votes = knn.predict(*parts, num_neighbors=7, temperature=1e-3)
    assert np.isfinite(votes).all()
    several = [LabelledFeatures(each.features, each.features[:, :3] > 0.5) for each in parts]
    assert np.isfinite(knn.predict(*several, num_neighbors=7, temperature=1e-3)[1]).all()
    for temperature in (0.0, -1.0, float("nan")):
        with pytest.raises(ValueError, match="temperature of the votes must be > 0, got"):
            knn.evaluate(*parts, temperature=temperature)
