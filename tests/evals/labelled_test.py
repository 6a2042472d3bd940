import numpy as np
import pytest

from tvdim_jax.evals.labelled import (
    LabelledFeatures,
    check_pair,
    known_entries,
    one_sided_classes,
    score_predictions,
)

ONE = LabelledFeatures(np.zeros((3, 2), np.float32), np.array([0, 4, 1]))
MANY = LabelledFeatures(
    np.zeros((3, 2), np.float32), np.array([[1, 0, 1], [0, 0, 1], [1, 0, 0]], bool)
)


def test_number_of_classes():
    assert check_pair(ONE, ONE._replace(labels=np.array([6, 0, 0]))) == 7
    assert check_pair(MANY, MANY) == 3


def test_accuracy_and_mean_auc():
    scores = np.zeros((3, 5))
    scores[[0, 1, 2], [0, 4, 3]] = 1
    assert score_predictions(scores, ONE) == ("accuracy", pytest.approx(2 / 3), ())
    scores = np.array([[3.0, 0, 1], [2, 1, 2], [1, 0, 3]])  # AUCs 0.5, undefined, 0
    assert score_predictions(scores, MANY) == ("mean_auc", pytest.approx(0.25), (1,))
    assert score_predictions(scores, MANY, (2,)) == ("mean_auc", pytest.approx(0.5), (1, 2))


def test_ambiguous_entries_decide_what_can_be_learned():
    assert one_sided_classes(MANY) == (1,)
    where = np.ones((3, 3), bool)
    where[2, 2] = False  # the only negative of class 2
    masked = MANY._replace(where=where)
    assert one_sided_classes(masked) == (1, 2)
    assert known_entries(MANY).all()
    assert not known_entries(masked)[2, 2]


@pytest.mark.parametrize(
    ("train", "message"),
    [
        (ONE._replace(features=np.zeros((2, 2), np.float32)), "got 3 labels, wanted 2"),
        (ONE._replace(features=np.zeros((3, 5), np.float32)), "differ in width: got 5 and 2"),
        (ONE._replace(features=np.full((3, 2), np.nan)), "train features hold NaN"),
        (ONE._replace(labels=np.array([0, -1, 2])), "must be >= 0, got -1"),
        (ONE._replace(where=np.ones((3, 1), bool)), r"got shape \(3, 1\) for labels"),
        (ONE._replace(labels=np.zeros((3, 5), bool)), r"int \[n\] .* or bool \[n, C\]"),
        (ONE._replace(labels=np.zeros(3)), "alike in both parts: got float64"),
    ],
)
def test_errors(train, message):
    with pytest.raises(ValueError, match=message):
        check_pair(train, ONE)


def test_no_class_to_score():
    with pytest.raises(ValueError, match="mean AUC is undefined: got 3 classes"):
        score_predictions(np.zeros((3, 3)), MANY._replace(labels=np.zeros((3, 3), bool)))
