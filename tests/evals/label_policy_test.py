import numpy as np
import pytest

from tvdim_jax.evals.label_policy import LabelPolicy, apply_policy, policy_text

MARKS = np.array([[1, 0, -1, -2]])


@pytest.mark.parametrize(
    ("policy", "labels", "where", "text"),
    [
        (LabelPolicy(), "1000", "1100", "uncertain labels masked, unmentioned labels masked"),
        (LabelPolicy("positive"), "1010", "1110", "uncertain labels count as positive"),
        (LabelPolicy("negative", "negative"), "1000", "1111", "unmentioned labels count as neg"),
        (LabelPolicy("masked", "negative"), "1000", "1101", "uncertain labels masked, unmention"),
    ],
)
def test_policies(policy, labels, where, text):
    got = apply_policy(MARKS, policy)
    for array, wanted in zip(got, (labels, where), strict=True):
        assert array.dtype == bool
        assert array.tolist() == [[digit == "1" for digit in wanted]]
    assert text in policy_text(policy)


@pytest.mark.parametrize(
    ("marks", "policy", "message"),
    [
        (np.array([[1, 3, -5]]), LabelPolicy(), r"got shape \(1, 3\) and values \[-5, 3\] besides"),
        (np.array([[1.0, np.nan]]), LabelPolicy(), r"values \[nan\] besides .* a blank .* is -2"),
        (np.array([1, 0]), LabelPolicy(), r"got shape \(2,\)"),
        (MARKS, LabelPolicy("ones"), r"uncertain='ones'.*wanted uncertain 'masked', 'positive'"),
        (MARKS, LabelPolicy("masked", "positive"), "unmentioned 'masked' or 'negative'"),
    ],
)
def test_errors(marks, policy, message):
    with pytest.raises(ValueError, match=message):
        apply_policy(marks, policy)
