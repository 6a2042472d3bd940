import json

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from tvdim_jax.evals import bootstrap
from tvdim_jax.evals.bootstrap import paired_difference
from tvdim_jax.evals.counted_metrics import auc_metric, mean_metric


def runs(n=300, gain=0.8, seed=0):
    """Labels and the scores of two runs with shared noise, the first the better by `gain`."""
    rng = np.random.default_rng(seed)
    labels = rng.random(n) < 0.4
    shared, own = rng.normal(size=n), 0.3 * rng.normal(size=(2, n))
    return labels, (1 + gain) * labels + shared + own[0], labels + shared + own[1]


def aucs(labels, *scores):
    return [auc_metric(each[:, None], labels[:, None]) for each in scores]


def test_equals_a_loop_over_resampled_rows():
    labels, a, b = runs(60)
    found = paired_difference(*aucs(labels, a, b), num_resamples=50, confidence=0.8, seed=3)
    rng = np.random.default_rng(3)
    differences = []
    for _ in range(50):
        rows = rng.integers(60, size=60)
        one, other = (roc_auc_score(labels[rows], scores[rows]) for scores in (a, b))
        differences.append(one - other)
    assert (found.low, found.high) == pytest.approx(np.quantile(differences, [0.1, 0.9]), abs=1e-12)
    assert found.first == pytest.approx(roc_auc_score(labels, a))
    assert found.difference == pytest.approx(found.first - found.second)


def test_the_interval_of_a_mean_is_that_of_the_normal_law():
    rng = np.random.default_rng(0)
    a, b = rng.normal(0.5, 1, 2000), rng.normal(0.4, 1, 2000)
    found = paired_difference(
        mean_metric("m", a), mean_metric("m", b), num_resamples=4000, confidence=0.9
    )
    half = 1.645 * np.std(a - b) / np.sqrt(2000)
    np.testing.assert_allclose(
        [found.low, found.high], found.difference + np.array([-half, half]), atol=0.06 * half
    )


def test_pairing_is_what_makes_it_narrow():
    labels, a, b = runs()
    paired = paired_difference(*aucs(labels, a, b))
    other, rng = a.copy(), np.random.default_rng(1)
    for value in (True, False):  # the same AUC, but no longer the noise of the other run
        other[labels == value] = rng.permutation(a[labels == value])
    unpaired = paired_difference(*aucs(labels, other, b))
    assert unpaired.difference == pytest.approx(paired.difference)
    assert paired.low > 0
    assert paired.high - paired.low < 0.7 * (unpaired.high - unpaired.low)
    same = paired_difference(*aucs(labels, b, b))
    assert (same.low, same.difference, same.high) == (0, 0, 0)


def test_images_of_one_patient_are_drawn_together():
    a = np.repeat(np.random.default_rng(0).normal(size=40), 25)  # 25 equal images each
    patient = np.array([f"p{number}" for number in np.repeat(np.arange(40), 25)])
    metrics = mean_metric("m", a), mean_metric("m", 0 * a)
    apart, together = (paired_difference(*metrics, group_id=each) for each in (None, patient))
    assert (apart.num_groups, together.num_groups) == (1000, 40)
    ratio = (together.high - together.low) / (apart.high - apart.low)
    assert ratio == pytest.approx(5, rel=0.15)  # the root of 25


def test_coverage():
    """Of 200 worlds without any difference, the 90 % interval holds 0 in about 90 %."""
    held = 0
    for seed in range(200):
        labels, a, b = runs(80, gain=0.0, seed=seed)
        found = paired_difference(*aucs(labels, a, b), num_resamples=200, confidence=0.9)
        held += found.low <= 0 <= found.high
    assert 0.83 <= held / 200 <= 0.96


def test_the_record_is_json_and_depends_on_the_seed_alone(monkeypatch):
    labels, a, b = runs(50)
    found = paired_difference(*aucs(labels, a, b), num_resamples=33, seed=1)
    assert json.loads(json.dumps(found._asdict()))["metric"] == "mean_auc"
    assert (found.num_resamples, found.num_examples, found.seed) == (33, 50, 1)
    assert found.low != paired_difference(*aucs(labels, a, b), num_resamples=33, seed=2).low
    monkeypatch.setattr(bootstrap, "_BLOCK_ENTRIES", 200)  # 4 resamples at a time, the last 1
    assert found == paired_difference(*aucs(labels, a, b), num_resamples=33, seed=1)


def test_resamples_without_a_positive_are_counted_out():
    labels = np.arange(12) == 5
    metrics = aucs(labels, np.arange(12.0), -np.arange(12.0))
    found = paired_difference(*metrics, num_resamples=1000)
    assert found.num_undefined == pytest.approx(1000 * (11 / 12) ** 12, rel=0.1)
    assert np.isfinite([found.low, found.high]).all()
    misses = (5 not in np.random.default_rng(seed).integers(12, size=12) for seed in range(20))
    with pytest.raises(ValueError, match="undefined on all 1 resamples"):
        paired_difference(*metrics, num_resamples=1, seed=list(misses).index(True))


def test_errors():
    accuracy = mean_metric("accuracy", np.ones(4))
    with pytest.raises(ValueError, match="got accuracy of 4 and accuracy of 5; score both"):
        paired_difference(accuracy, mean_metric("accuracy", np.ones(5)))
    with pytest.raises(ValueError, match="got accuracy of 4 and recall of 4"):
        paired_difference(accuracy, mean_metric("recall", np.ones(4)))
    with pytest.raises(ValueError, match=r"got 0 resamples and confidence 0\.95"):
        paired_difference(accuracy, accuracy, num_resamples=0)
    with pytest.raises(ValueError, match="confidence 95"):
        paired_difference(accuracy, accuracy, confidence=95)
    with pytest.raises(ValueError, match=r"group_id of shape \(3,\), wanted \(4,\)"):
        paired_difference(accuracy, accuracy, group_id=np.arange(3))
    with pytest.raises(ValueError, match="got accuracy 1 and nan on all examples"):
        paired_difference(accuracy, mean_metric("accuracy", np.full(4, np.nan)))
