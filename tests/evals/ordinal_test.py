import json
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from tvdim_jax.evals import ordinal

with np.load(Path(__file__).parents[1] / "data/lmi_grades.npz", allow_pickle=False) as file:
    VECTORS = {name: file[name] for name in file.files}


def test_the_numbers_of_the_lmi_authors():
    found = ordinal.evaluate(VECTORS["probs"], VECTORS["labels"])
    assert list(found.ordinal_aucs) == ["0v123", "01v23", "012v3"]
    wanted = VECTORS["ordinal_auc_0v123_01v23_012v3"]
    np.testing.assert_array_equal(list(found.ordinal_aucs.values()), wanted)
    assert wanted.tolist() == [0.9375, 1.0, 0.9]
    assert list(found.pairwise_aucs) == VECTORS["pairwise_names"].tolist()
    np.testing.assert_allclose(
        list(found.pairwise_aucs.values()), VECTORS["pairwise_auc"], atol=1e-15
    )
    assert found.expected_grade_mse == pytest.approx(VECTORS["expected_severity_mse"], abs=1e-14)
    assert found.value == pytest.approx(wanted.mean())
    assert found.grade_counts == (4, 3, 3, 2)
    assert json.loads(json.dumps(found._asdict()))["metric"] == "mean_ordinal_auc"


@pytest.mark.parametrize("num_grades", [2, 3, 5])
def test_other_numbers_of_grades_equal_sklearn(num_grades):
    rng = np.random.default_rng(num_grades)
    probabilities = rng.dirichlet(np.ones(num_grades), 80)
    labels = rng.integers(0, num_grades, 80)
    found = ordinal.evaluate(probabilities, labels)
    assert len(found.ordinal_aucs) == num_grades - 1
    for k, auc in enumerate(found.ordinal_aucs.values(), 1):
        assert auc == pytest.approx(roc_auc_score(labels >= k, probabilities[:, k:].sum(1)))
    for name, auc in found.pairwise_aucs.items():
        i, j = int(name[0]), int(name[2])
        pair = np.isin(labels, (i, j))
        share = probabilities[pair, j] / probabilities[pair][:, [i, j]].sum(1)
        assert auc == pytest.approx(roc_auc_score(labels[pair] == j, share))


def test_a_probability_of_zero_twice_is_no_evidence():
    probabilities = np.array([[0.0, 0, 1], [0.7, 0.3, 0], [0.6, 0.4, 0]])  # shares 1/2, 0.3, 0.4
    found = ordinal.evaluate(probabilities, np.array([0, 0, 1]))
    assert found.pairwise_aucs["0v1"] == 0.5


def test_a_grade_without_images():
    found = ordinal.evaluate(VECTORS["probs"], np.minimum(VECTORS["labels"], 2))
    assert found.ordinal_aucs["012v3"] is None
    assert found.pairwise_aucs["1v3"] is None
    assert found.value == pytest.approx(
        np.mean([found.ordinal_aucs[k] for k in ("0v123", "01v23")])
    )


@pytest.mark.parametrize(
    ("probabilities", "labels", "message"),
    [
        (VECTORS["probs"][:5], VECTORS["labels"], r"shape \(5, 4\) and labels of shape \(12,\)"),
        (np.log(VECTORS["probs"]), VECTORS["labels"], "wanted probabilities; put logits through"),
        (VECTORS["probs"] * np.nan, VECTORS["labels"], "rows that sum to nan"),
        (VECTORS["probs"], VECTORS["labels"] - 1, r"got labels int64 \[-1, 0, 1, 2\], wanted int"),
        (VECTORS["probs"], VECTORS["labels"] * 1.0, r"got labels float64"),
        (VECTORS["probs"], VECTORS["labels"] * 0 + 2, "got images of grade 2 only"),
    ],
)
def test_errors(probabilities, labels, message):
    with pytest.raises(ValueError, match=message):
        ordinal.evaluate(probabilities, labels)
