import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from tvdim_jax.evals import auc


def test_by_hand_with_a_tie():
    # Pairs (positive, negative): 3 > 1, 3 > 2, 2 > 1, 2 = 2 -> (1 + 1 + 1 + 0.5) / 4.
    assert auc.roc_auc(np.array([3, 2, 1, 2]), np.array([1, 1, 0, 0])) == pytest.approx(0.875)


@pytest.mark.parametrize("num_values", [2, 7, 10_000])
def test_equals_sklearn_with_many_ties(num_values):
    rng = np.random.default_rng(num_values)
    scores = rng.integers(0, num_values, 300).astype(np.float32)
    labels = rng.random(300) < 0.2
    assert auc.roc_auc(scores, labels) == pytest.approx(roc_auc_score(labels, scores), abs=1e-12)


def test_classes_and_masks():
    rng = np.random.default_rng(0)
    scores, labels = rng.normal(size=(60, 3)), rng.random((60, 3)) < 0.4
    where = rng.random((60, 3)) < 0.7
    labels[where[:, 2], 2] = True  # no known negative
    found = auc.class_aucs(scores, labels, where)
    wanted = [roc_auc_score(labels[where[:, c], c], scores[where[:, c], c]) for c in range(2)]
    np.testing.assert_allclose(found[:2], wanted, atol=1e-12)
    assert np.isnan(found[2])
    assert np.isfinite(auc.class_aucs(scores[:, :2], labels[:, :2])).all()
