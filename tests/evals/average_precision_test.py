import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from tvdim_jax.evals import average_precision as ap


def test_by_hand():
    scores = np.array([0.9, 0.8, 0.7, 0.6])
    found = ap.average_precision(scores, np.array([True, False, True, False]))
    assert found == pytest.approx((1 + 2 / 3) / 2)
    assert ap.average_precision(np.zeros(4), np.array([True, False, False, False])) == 0.25
    assert np.isnan(ap.average_precision(scores, np.zeros(4, bool)))


@pytest.mark.parametrize("levels", [4, 1000])  # many ties and hardly any
def test_equals_sklearn(levels):
    rng = np.random.default_rng(levels)
    scores = rng.integers(0, levels, (80, 5)) / levels
    labels = rng.random((80, 5)) < [0.5, 0.1, 0.9, 0.3, 0.02]
    where = rng.random((80, 5)) < 0.7
    labels[0], where[0] = True, True
    found = ap.class_average_precisions(scores, labels, where)
    wanted = [average_precision_score(labels[w, c], scores[w, c]) for c, w in enumerate(where.T)]
    np.testing.assert_allclose(found, wanted, rtol=1e-12)
    assert ap.mean_average_precision(scores, labels, where) == pytest.approx(np.mean(wanted))
    macro = average_precision_score(labels, scores, average="macro")
    assert ap.mean_average_precision(scores, labels) == pytest.approx(macro)


def test_classes_without_positives_or_skipped_are_left_out():
    rng = np.random.default_rng(0)
    scores, labels = rng.normal(size=(20, 3)), rng.random((20, 3)) < 0.5
    labels[:, 1] = False
    each = ap.class_average_precisions(scores, labels)
    assert np.isnan(each).tolist() == [False, True, False]
    assert ap.mean_average_precision(scores, labels) == pytest.approx((each[0] + each[2]) / 2)
    skipped = ap.mean_average_precision(scores, labels, classes_skipped=(0,))
    assert skipped == pytest.approx(each[2])


def test_errors():
    labels = np.zeros((3, 2), bool)
    with pytest.raises(ValueError, match="got 2 classes, none with a positive known label"):
        ap.mean_average_precision(np.zeros((3, 2)), labels)
    with pytest.raises(ValueError, match=r"scores of shape \(3, 2\), 1 of them NaN or infinite"):
        ap.mean_average_precision(np.array([[0, 1], [np.nan, 0], [0, 0]]), labels)
