import json
import tracemalloc

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from tvdim_jax.evals import linear_probe
from tvdim_jax.evals.labelled import LabelledFeatures


def noisy(n, seed, width=20):
    """Four classes in four coordinates, noise in all; unequal scales and one constant."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 4, n)
    features = rng.normal(size=(n, width)) + 2.0 * np.eye(4, width)[labels]
    features = features * np.geomspace(1e-3, 1e3, width) + 100.0
    return LabelledFeatures(np.c_[features, np.full(n, 0.1)].astype(np.float32), labels)


def test_equals_sklearn_on_standardised_features():
    train, test = noisy(300, 0), noisy(2000, 1)
    found = linear_probe.evaluate(train, test)
    mean, std = train.features.mean(0, dtype=float), train.features.std(0, dtype=float)
    std[-1] = 1.0
    golden = LogisticRegression(C=1 / found.penalty, tol=1e-10, max_iter=5000)
    golden.fit((train.features - mean) / std, train.labels)
    wanted = golden.score((test.features - mean) / std, test.labels)
    assert found.metric == "accuracy"
    assert abs(found.value - wanted) <= 0.002
    assert found.value > 0.7
    assert found.converged


def test_protocol_is_recorded_and_deterministic():
    train, test = noisy(101, 0), noisy(50, 1)
    found = linear_probe.evaluate(train, test, penalties=(1.0, 100.0, 1e6), seed=3)
    assert found == linear_probe.evaluate(train, test, penalties=(1e6, 1.0, 100.0), seed=3)
    assert found.penalties == (1e6, 100.0, 1.0)
    best = int(np.argmax(found.validation_scores))
    assert found.penalty == found.penalties[best] != 1e6
    assert found.validation_score == found.validation_scores[best]
    assert (found.num_train, found.num_validation, found.num_test) == (101, 20, 50)
    assert (found.num_classes, found.num_features, found.seed) == (4, 21, 3)
    assert json.loads(json.dumps(found._asdict()))["metric"] == "accuracy"


def test_standardisation_makes_no_copy_of_the_features():
    features = np.random.default_rng(0).normal(3, 2, size=(2000, 1000)).astype(np.float32)
    tracemalloc.start()
    mean, std = linear_probe._standardisation(features)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    np.testing.assert_allclose(mean, features.astype(float).mean(axis=0), rtol=1e-6)
    np.testing.assert_allclose(std, features.astype(float).std(axis=0), rtol=1e-6)
    assert peak < features.nbytes / 2


def test_the_test_part_never_reaches_the_choice():
    train, test = noisy(100, 0), noisy(50, 1)
    found = linear_probe.evaluate(train, test)
    other = linear_probe.evaluate(train, test._replace(labels=(test.labels + 1) % 4))
    assert other.validation_scores == found.validation_scores
    assert other.value < found.value


def test_the_mean_over_classes_chooses_and_is_given():
    """Nine of ten rows are of one class, which a strong penalty says of all of them."""
    parts = []
    for seed in (0, 1):
        part = noisy(2000, seed)
        kept = (part.labels == 0) | (np.arange(2000) % 27 == 0)
        parts.append(LabelledFeatures(part.features[kept], part.labels[kept]))
    found, logits = linear_probe.predict(*parts, penalties=(1e4, 1.0), class_mean=True)
    by_rows = linear_probe.evaluate(*parts, penalties=(1e4, 1.0))
    right = logits.argmax(axis=1) == parts[1].labels
    of_classes = [right[parts[1].labels == label].mean() for label in range(4)]
    assert found.metric == "class_mean_accuracy"
    assert found.value == pytest.approx(np.mean(of_classes))
    assert found.value < by_rows.value - 0.1
    assert found.validation_scores[0] == 0.25 < by_rows.validation_scores[0] - 0.5
    assert linear_probe.evaluate(*parts, penalties=(1e4, 1.0), class_mean=True) == found


def several(n, seed):
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(n, 6)).astype(np.float32)
    labels = features[:, :4] + 0.5 * rng.normal(size=(n, 4)) > 0
    labels[:, 3] = False  # never present: nothing to learn or to score
    return LabelledFeatures(features, labels, np.ones((n, 4), bool))


def test_several_labels_skip_what_cannot_be_scored():
    train, test = several(200, 0), several(200, 1)
    found = linear_probe.evaluate(train, test)
    assert found.metric == "mean_auc"
    assert 0.9 < found.value < 1
    assert found.classes_skipped == (3,)
    assert found.num_classes == 4
    one_sided = train.labels.copy()
    one_sided[:, 0] = True
    assert linear_probe.evaluate(train._replace(labels=one_sided), test).classes_skipped == (0, 3)


def test_ambiguous_labels_are_masked_in_both_parts():
    train, test = several(200, 0), several(200, 1)
    rng = np.random.default_rng(2)
    clean, wrong = [], []
    for part in (train, test):
        where = rng.random(part.labels.shape) < 0.6
        clean.append(part._replace(where=where))
        wrong.append(part._replace(where=where, labels=np.where(where, part.labels, ~part.labels)))
    assert linear_probe.evaluate(*wrong) == linear_probe.evaluate(*clean)
    unmasked = linear_probe.evaluate(*(part._replace(where=None) for part in wrong))
    assert unmasked.value < linear_probe.evaluate(*clean).value


def test_groups_are_held_out_as_a_whole():
    """40 patients of six alike images: known ones are recognised, others tell nothing."""
    rng = np.random.default_rng(0)
    patient = np.repeat(rng.permutation(40), 6)
    features = rng.normal(size=(40, 64))[patient] + 0.1 * rng.normal(size=(240, 64))
    train = LabelledFeatures(features.astype(np.float32), rng.integers(0, 2, 40)[patient])
    by_row = linear_probe.evaluate(train, train)
    by_patient = linear_probe.evaluate(train, train, group_id=patient)
    assert by_row.validation_score > 0.95
    assert by_patient.validation_score < 0.8
    assert by_row.num_validation == by_patient.num_validation == 48
    assert linear_probe.evaluate(train, train, group_id=np.arange(240) * 3) == by_row
    with pytest.raises(ValueError, match=r"needs 2 training groups of rows, .* got 1; label more"):
        linear_probe.evaluate(train, train, group_id=np.zeros(240, int))


def test_too_few_rows():
    one = noisy(1, 0)
    with pytest.raises(ValueError, match="needs 2 training rows to hold one out, got 1"):
        linear_probe.evaluate(one, one)
