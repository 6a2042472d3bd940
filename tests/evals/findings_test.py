import json

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from tvdim_jax.data.sources.mimic_tables import LABEL_NAMES
from tvdim_jax.evals.findings import LMI_FINDINGS, findings_table, lmi_mean, score_findings
from tvdim_jax.evals.label_policy import LabelPolicy

NAMES = ["Edema", "Pleural Effusion", "Fracture"]


def example(n=200):
    """Scores with ties; the last finding has no known negative, but unmentioned ones."""
    rng = np.random.default_rng(0)
    marks = rng.choice([1, 0, -1, -2], size=(n, 3), p=[0.2, 0.3, 0.2, 0.3])
    marks[:, 2] = rng.choice([1, -1, -2], size=n)
    scores = np.round(rng.normal(size=(n, 3)) + (marks == 1) + 0.5 * (marks == -1), 1)
    return scores, marks


def wanted_aucs(scores, marks, positives, negatives):
    aucs = {}
    for column, name in enumerate(NAMES):
        kept = np.isin(marks[:, column], positives + negatives)
        truth = np.isin(marks[kept, column], positives)
        two = 0 < truth.sum() < truth.size
        aucs[name] = roc_auc_score(truth, scores[kept, column]) if two else None
    return aucs


@pytest.mark.parametrize(
    ("policy", "positives", "negatives"),
    [
        (LabelPolicy(), [1], [0]),
        (LabelPolicy("positive"), [1, -1], [0]),
        (LabelPolicy("negative"), [1], [0, -1]),
        (LabelPolicy("masked", "negative"), [1], [0, -2]),
    ],
)
def test_each_finding_equals_sklearn_under_each_policy(policy, positives, negatives):
    scores, marks = example()
    found = score_findings(scores, marks, NAMES, policy=policy)
    wanted = wanted_aucs(scores, marks, positives, negatives)
    assert found.aucs == pytest.approx(wanted, abs=1e-12)
    defined = [auc for auc in wanted.values() if auc is not None]
    assert found.value == pytest.approx(np.mean(defined), abs=1e-12)
    for column, name in enumerate(NAMES):
        values = marks[:, column].tolist()
        assert found.num_positive[name] == sum(map(values.count, positives))
        assert found.num_negative[name] == sum(map(values.count, negatives))
        assert found.num_masked[name] + found.num_positive[name] + found.num_negative[name] == 200
    assert found.findings_skipped == tuple(name for name in NAMES if wanted[name] is None)


def test_the_record_is_json_and_states_its_policy():
    scores, marks = example()
    policy = LabelPolicy("negative", "negative")
    found = score_findings(scores, marks, NAMES, policy=policy, classes_skipped=(0,))
    record = json.loads(json.dumps(found._asdict(), allow_nan=False))
    assert (record["metric"], record["num_test"]) == ("mean_auc", 200)
    assert (record["uncertain"], record["unmentioned"]) == policy
    assert record["aucs"]["Edema"] is None
    assert record["findings_skipped"] == ["Edema"]
    assert record["value"] == pytest.approx((found.aucs[NAMES[1]] + found.aucs[NAMES[2]]) / 2)


def test_the_table():
    scores = np.array([[0.9, 1.0], [0.5, 2.0], [0.5, 3.0], [0.1, 4.0]])
    marks = np.array([[1, 1], [1, -1], [0, -2], [0, -1]])
    found = score_findings(scores, marks, NAMES[:2], policy=LabelPolicy())
    assert findings_table(found).splitlines() == [
        "finding           AUROC  positive  negative  masked",
        "Edema             0.875         2         2       0",
        "Pleural Effusion      -         1         0       3",
        "mean of 1         0.875",
        "uncertain labels masked, unmentioned labels masked; 4 images",
    ]


def test_errors():
    scores, marks = example(6)
    policy = LabelPolicy()
    with pytest.raises(ValueError, match=r"scores of shape \(5, 3\), marks of shape \(6, 3\)"):
        score_findings(scores[:5], marks, NAMES, policy=policy)
    with pytest.raises(ValueError, match=r"and 3 names, wanted .* C different names"):
        score_findings(scores, marks, ["a", "b", "a"], policy=policy)
    scores[2, 1] = np.nan
    with pytest.raises(ValueError, match="got 1 scores that are NaN or infinite"):
        score_findings(scores, marks, NAMES, policy=policy)
    with pytest.raises(
        ValueError, match=r"got 3 findings, none .* policy: uncertain labels masked"
    ):
        score_findings(np.ones((6, 3)), np.full((6, 3), -1), NAMES, policy=policy)


def test_the_mean_of_the_nine_of_lmi_leaves_out_other_names_and_what_was_skipped():
    names = ["Edema", "No Finding", "Pneumonia", "Atelectasis"]
    labels = np.arange(8)[:, None] >= np.array([4, 2, 5, 8])  # of atelectasis no positive
    scores = np.random.default_rng(0).normal(size=(8, 4))
    found = score_findings(scores, labels.astype(int), names, policy=LabelPolicy())
    assert lmi_mean(found) == ((found.aucs["Edema"] + found.aucs["Pneumonia"]) / 2, 2)
    assert len(LMI_FINDINGS) == len(set(LMI_FINDINGS) & set(LABEL_NAMES)) == 9
    lone = score_findings(
        scores[:, 1:2], labels[:, 1:2].astype(int), names[1:2], policy=LabelPolicy()
    )
    assert lmi_mean(lone) is None
