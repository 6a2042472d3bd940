import json

import numpy as np
import pytest
from scipy import stats
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score
from sklearn.preprocessing import normalize

from tvdim_jax.evals import few_shot
from tvdim_jax.evals.labelled import LabelledFeatures

CLASSES = (0, 2, 5)  # the others have no row


def noisy(counts, seed, width=8):
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.repeat(CLASSES, counts))
    features = rng.normal(size=(labels.size, width)) + 1.5 * np.eye(6, width)[labels]
    return LabelledFeatures(features.astype(np.float32), labels)


@pytest.mark.parametrize("width", [8, 40])  # more and fewer coordinates than rows
def test_equals_sklearn_draw_by_draw(width):
    train, test = noisy((9, 20, 14), 0, width), noisy((30, 60, 15), 1, width)
    one, four = few_shot.evaluate(train, test, shots=(1, 4), num_draws=5, seed=3)
    for found in (one, four):
        balanced, plain = [], []
        for draw in range(5):
            rows = few_shot.draw_rows(train.labels, found.shots, seed=3, draw=draw)
            golden = LogisticRegression(C=1.0, tol=1e-8, max_iter=1000)
            golden.fit(normalize(train.features[rows]), train.labels[rows])
            predicted = golden.predict(normalize(test.features))
            balanced.append(balanced_accuracy_score(test.labels, predicted))
            plain.append(np.mean(predicted == test.labels))
        one_row = 1 / (3 * 15) + 1e-6  # float32 may decide a row on the border otherwise
        np.testing.assert_allclose(found.values, balanced, atol=one_row)
        assert found.value == pytest.approx(np.mean(balanced), abs=0.003)
        assert found.accuracy == pytest.approx(np.mean(plain), abs=0.003)
        interval = stats.t.interval(0.95, 4, np.mean(found.values), stats.sem(found.values))
        assert (found.low, found.high) == pytest.approx(interval)
        interval = stats.t.interval(0.95, 4, np.mean(plain), stats.sem(plain))
        assert (found.accuracy_low, found.accuracy_high) == pytest.approx(interval, abs=0.01)
    assert 1 / 3 < one.value < four.value < 1


def test_protocol_is_recorded_and_deterministic():
    train, test = noisy((9, 20, 14), 0), noisy((30, 60, 15), 1)
    (found,) = few_shot.evaluate(train, test, shots=[2], num_draws=3, seed=1)
    assert [found] == few_shot.evaluate(train, test, shots=[2], num_draws=3, seed=1)
    assert found.values != few_shot.evaluate(train, test, shots=[2], num_draws=3, seed=2)[0].values
    assert (found.metric, found.shots, found.num_draws) == ("class_mean_accuracy", 2, 3)
    assert (found.num_available, found.num_test, found.num_features) == (43, 105, 8)
    assert (found.num_classes, found.penalty, found.seed) == (3, 1.0, 1)
    assert json.loads(json.dumps(found._asdict()))["shots"] == 2


def test_draws_are_balanced_nested_and_different():
    labels = noisy((9, 20, 14), 0).labels
    two, five = (few_shot.draw_rows(labels, k, seed=0, draw=1) for k in (2, 5))
    assert np.unique(labels[five], return_counts=True)[1].tolist() == [5, 5, 5]
    assert set(two) < set(five)
    assert two.tolist() == sorted(two)
    assert set(two) != set(few_shot.draw_rows(labels, 2, seed=0, draw=0))


def test_errors():
    train = noisy((9, 20, 14), 0)
    options = {"shots": (1,), "num_draws": 3, "seed": 0}
    with pytest.raises(ValueError, match=r"shots \(1, 10\) and 3 draws, .* 1 to the 9 rows of the"):
        few_shot.evaluate(train, train, **{**options, "shots": (1, 10)})
    with pytest.raises(ValueError, match=r"and 1 draws, .* at least 2 draws for an interval"):
        few_shot.evaluate(train, train, **{**options, "num_draws": 1})
    other = train._replace(labels=np.where(train.labels == 5, 4, train.labels))
    with pytest.raises(ValueError, match=r"got test classes \[4\] without a training row"):
        few_shot.evaluate(train, other, **options)
    several = train._replace(labels=np.eye(6, dtype=bool)[train.labels])
    with pytest.raises(ValueError, match=r"got 6 labels a row, wanted one; .* label fractions"):
        few_shot.evaluate(several, several, **options)
