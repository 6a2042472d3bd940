import json
import re

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from tvdim_jax.evals import label_fractions, linear_probe
from tvdim_jax.evals.auc import roc_auc
from tvdim_jax.evals.label_fractions import nested_subsets
from tvdim_jax.evals.labelled import LabelledFeatures, take_rows

FRACTIONS = (0.02, 0.1, 0.5, 1.0)


def rare(n=500, num_classes=6, seed=0):
    """Several labels, some of them with two positives or two negatives, a third masked."""
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(n, 8)).astype(np.float32)
    labels = features[:, :num_classes] > 0
    where = rng.random((n, num_classes)) < 0.7
    for column, value in ((0, True), (1, False), (2, True)):
        labels[:, column] = not value
        labels[rng.choice(n, 2, replace=False), column] = value
        where[labels[:, column] == value, column] = True
        labels[~where[:, column], column] = value  # masked, so it shows nothing
    return LabelledFeatures(features, labels, where)


def shown(labelled, rows):
    """(class, value) pairs among the known labels of some rows, by a plain loop."""
    known = np.ones_like(labelled.labels) if labelled.where is None else labelled.where
    return {
        (c, bool(labelled.labels[row, c]))
        for row in rows
        for c in range(labelled.labels.shape[1])
        if known[row, c]
    }


@pytest.mark.parametrize("seed", range(8))
def test_subsets_are_nested_and_keep_a_positive_and_a_negative(seed):
    data = rare()
    subsets = nested_subsets(data, fractions=FRACTIONS[::-1], seed=seed)
    assert list(subsets) == list(FRACTIONS)
    assert [rows.size for rows in subsets.values()] == [10, 50, 250, 500]
    smaller = set()
    for rows in subsets.values():
        assert np.all(np.diff(rows) > 0)
        assert smaller <= set(rows.tolist())
        smaller = set(rows.tolist())
        assert shown(data, rows) == shown(data, range(500))
    again = nested_subsets(data, fractions=FRACTIONS, seed=seed)
    assert all(np.array_equal(subsets[each], again[each]) for each in FRACTIONS)
    other = nested_subsets(data, fractions=FRACTIONS, seed=seed + 1)
    assert not np.array_equal(subsets[0.1], other[0.1])


def test_a_draw_that_misses_nothing_stays_plainly_random():
    rng = np.random.default_rng(0)
    data = LabelledFeatures(np.zeros((400, 2), np.float32), rng.random((400, 3)) < 0.5)
    plain = np.random.default_rng(5).permutation(400)[:40]
    np.testing.assert_array_equal(nested_subsets(data, seed=5)[0.1], np.sort(plain))
    data.labels[:, 1] = False
    data.labels[np.setdiff1d(np.arange(400), plain)[7], 1] = True
    swapped = nested_subsets(data, seed=5)[0.1]
    assert np.setdiff1d(swapped, plain).size == np.setdiff1d(plain, swapped).size == 1


def test_one_label_keeps_every_class_while_there_is_room():
    labels = np.r_[np.zeros(480, int), np.arange(1, 21)]
    data = LabelledFeatures(np.zeros((500, 2), np.float32), labels)
    subsets = nested_subsets(data, fractions=(0.02, 0.05), seed=3)
    assert set(labels[subsets[0.05]]) == set(range(21))
    assert len(set(labels[subsets[0.02]])) == 10


def test_a_probe_on_each_subset_equals_sklearn():
    train, test = (rare(seed=seed)._replace(where=None) for seed in (0, 1))
    train, test = (LabelledFeatures(part.features, part.labels[:, 3:]) for part in (train, test))
    found, failed = label_fractions.evaluate(train, test, fractions=(1.0, 0.2), seed=4)
    assert failed == {}
    assert [result.fraction for result, _ in found] == [0.2, 1.0]
    subsets = nested_subsets(train, fractions=(0.2, 1.0), seed=4)
    for (result, logits), rows in zip(found, subsets.values(), strict=True):
        assert result.value == result.probe["value"] > 0.9
        assert result.classes_scored == (0, 1, 2)
        assert result.probe["num_train"] == rows.size
        assert (result.num_available, result.subset_seed) == (500, 4)
        assert result.classes_lost == ()
        assert json.loads(json.dumps(result._asdict()))["metric"] == "mean_auc"
        part = train.features[rows]
        for column in range(3):
            golden = LogisticRegression(C=1 / result.probe["penalty"], tol=1e-10, max_iter=5000)
            golden.fit((part - part.mean(0)) / part.std(0), train.labels[rows, column])
            wanted = golden.decision_function((test.features - part.mean(0)) / part.std(0))
            np.testing.assert_allclose(logits[:, column], wanted, rtol=0.01, atol=0.02)
    assert found[1][0].probe == linear_probe.evaluate(train, test, seed=4)._asdict()


def test_classes_that_a_subset_loses_are_recorded():
    rng = np.random.default_rng(0)
    labels = np.r_[np.arange(60) % 2, np.arange(2, 42)]
    features = (np.eye(42)[labels] + 0.1 * rng.normal(size=(100, 42))).astype(np.float32)
    data = LabelledFeatures(features, labels)
    ((small, _), (whole, _)), _ = label_fractions.evaluate(data, data, fractions=(0.3, 1))
    kept = set(labels[nested_subsets(data, fractions=(0.3,))[0.3]].tolist())
    assert small.classes_lost == tuple(sorted(set(range(42)) - kept)) != ()
    assert whole.classes_lost == ()


def test_all_fractions_are_scored_on_the_classes_that_the_smallest_learns():
    """Class 0 is known everywhere, each other one in every twelfth row: 20 rows miss values."""
    rng = np.random.default_rng(0)
    labels = rng.random((480, 13)) < 0.5
    where = np.concatenate([np.ones((480, 1), bool), np.arange(480)[:, None] % 12 == range(12)], 1)
    features = (labels + rng.normal(size=(480, 13))).astype(np.float32)
    data = LabelledFeatures(features, labels, where)
    ((small, few), (whole, all_of_them)), failed = label_fractions.evaluate(
        data, data, fractions=(0.002, 20 / 480, 1)
    )
    assert list(failed) == [0.002]
    assert failed[0.002].startswith("label fraction 0.002, 1 of 480 rows: a linear probe needs 2")
    assert whole.classes_lost == ()
    kept = tuple(sorted(set(range(13)) - set(small.classes_lost)))
    assert 0 < len(kept) < 13
    for result, logits in ((small, few), (whole, all_of_them)):
        assert result.classes_scored == kept
        aucs = [roc_auc(logits[where[:, c], c], labels[where[:, c], c]) for c in kept]
        assert result.value == pytest.approx(np.mean(aucs))
    assert whole.value != whole.probe["value"]  # which is over all


def test_groups_are_drawn_as_a_whole():
    data, group = rare(), np.random.default_rng(1).permutation(np.arange(500) // 4) * 7
    subsets = nested_subsets(data, fractions=FRACTIONS, group_id=group, seed=2)
    smaller = set()
    for fraction, rows in subsets.items():
        drawn = set(group[rows].tolist())
        assert len(drawn) == round(125 * fraction)
        assert rows.size == 4 * len(drawn)
        assert smaller <= drawn
        smaller = drawn
        if len(drawn) >= 12:  # room for every value
            assert shown(data, rows) == shown(data, range(500))


def test_errors():
    data = rare()
    for fractions in ((0.0, 1.0), (1.1,), ()):
        wanted = re.escape(f"must be in (0, 1], got {fractions}; 0.01")
        with pytest.raises(ValueError, match=wanted):
            nested_subsets(data, fractions=fractions)
    with pytest.raises(ValueError, match=r"label fraction 0\.002, 1 of 500 rows: a linear probe"):
        label_fractions.evaluate(data, data, fractions=(0.002,))


def test_taking_rows():
    data = rare(5)
    by_number, by_bool = take_rows(data, np.array([0, 3])), take_rows(data, np.arange(5) % 3 == 0)
    for one, other, whole in zip(by_number, by_bool, data, strict=True):
        np.testing.assert_array_equal(one, whole[[0, 3]])
        np.testing.assert_array_equal(other, one)
    assert take_rows(data._replace(where=None), np.array([1])).where is None
