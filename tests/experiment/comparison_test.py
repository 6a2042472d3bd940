"""Differences of two runs, and what makes them no pair."""

import numpy as np
import pytest

from tests.reference.label_table import Findings, Table
from tvdim_jax.config import ConfigError
from tvdim_jax.evals.auc import roc_auc
from tvdim_jax.experiment.comparison import Stored, compare, load, name_rows, save
from tvdim_jax.experiment.tasks import Examples

RNG = np.random.default_rng(0)
LABELS = RNG.random((120, 2)) < 0.4
WHERE = RNG.random((120, 2)) < 0.9
ROWS = np.arange(120)


def stored(noise, **changes):
    scores = LABELS + noise * np.random.default_rng(1).normal(size=LABELS.shape)
    examples = Examples(ROWS, ("Edema", "Fracture"), scores, LABELS, WHERE)
    return name_rows(examples._replace(**changes), Findings(120, seed=0))


def test_images_have_their_names_and_subjects():
    found = stored(1.0)
    assert found.example_id[:2].tolist() == ["0.jpg", "1.jpg"]
    assert found.group_id[:6].tolist() == [0, 0, 0, 0, 1, 1]
    plain = Table(120)
    plain.study_id = lambda row: row // 3
    assert name_rows(found.examples, plain).group_id[:6].tolist() == [0, 0, 0, 1, 1, 1]


def test_a_file_holds_them(tmp_path):
    right = Examples(ROWS, ("accuracy",), LABELS[:, :1], None, WHERE[:, :1])
    written = {"global": stored(1.0), "right": name_rows(right, Findings(120, seed=0))}
    save(tmp_path / "a" / "x.npz", written)
    read = load(tmp_path / "a" / "x.npz")
    assert list(read) == ["global", "right"]
    for name, each in read.items():
        for ours, theirs in zip(each.examples, written[name].examples, strict=True):
            np.testing.assert_array_equal(ours, theirs)
        np.testing.assert_array_equal(each.example_id, written[name].example_id)
        np.testing.assert_array_equal(each.group_id, written[name].group_id)
    assert read["right"].examples.labels is None
    (tmp_path / "broken.npz").write_bytes(b"no zip")
    with pytest.raises(ConfigError, match=r"cannot read the single scores .*broken.npz: .*again"):
        load(tmp_path / "broken.npz")


def test_differences_of_each_finding_and_of_the_mean():
    good, bad = stored(0.3), stored(3.0)
    found = compare({"global": good, "other": good}, {"global": bad})
    assert list(found) == ["global"]
    assert list(found["global"]) == ["mean", "Edema", "Fracture"]
    for place, name in enumerate(("Edema", "Fracture")):
        each, known = found["global"][name], WHERE[:, place]
        aucs = [
            roc_auc(run.examples.scores[known, place], LABELS[known, place]) for run in (good, bad)
        ]
        assert each["first"] == pytest.approx(aucs[0])
        assert each["difference"] == pytest.approx(aucs[0] - aucs[1])
        assert 0 < each["low"] < each["difference"] < each["high"]
        assert (each["num_examples"], each["num_groups"]) == (120, 30)
    mean = found["global"]["mean"]
    assert mean["first"] == pytest.approx(
        (found["global"]["Edema"]["first"] + found["global"]["Fracture"]["first"]) / 2
    )
    alike = compare({"global": good}, {"global": good})["global"]["mean"]
    assert alike["difference"] == alike["low"] == alike["high"] == 0


def test_right_or_wrong():
    def run(right):
        examples = Examples(ROWS, ("accuracy",), right[:, None], None, np.ones((120, 1), bool))
        return {"global": name_rows(examples, Findings(120, seed=0))}

    found = compare(run(np.ones(120)), run(ROWS < 60))["global"]
    assert list(found) == ["accuracy"]
    assert found["accuracy"]["difference"] == 0.5


def test_findings_that_one_run_could_not_score_are_left_out():
    one = stored(0.3)
    two = stored(
        0.5, names=("Fracture",), scores=LABELS[:, 1:], labels=LABELS[:, 1:], where=WHERE[:, 1:]
    )
    assert list(compare({"global": one}, {"global": two})["global"]) == ["Fracture"]


def test_what_has_one_value_here_is_left_out():
    """Such as grade 3 and above, where no test image has grade 3."""
    labels = LABELS.copy()
    labels[:, 1] = False
    run = {"global": stored(0.3, labels=labels)}
    found = compare(run, run)["global"]
    assert list(found) == ["Edema"]
    assert found["Edema"]["difference"] == 0
    hidden = stored(0.3, where=WHERE & ~LABELS)
    assert compare({"global": hidden}, {"global": hidden}) == {}


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (
            Stored(stored(1.0).examples, stored(1.0).example_id[::-1], ROWS),
            "not scored on the same images: got 120 and 120, 120 of them in both, wanted the same",
        ),
        (stored(1.0, labels=~LABELS), "by other labels of the same images; evaluate both with"),
        (
            stored(1.0, where=~WHERE),
            "equal --config.eval.split, .*num_test_examples, .*uncertain, .*unmentioned, .*grades",
        ),
    ],
)
def test_what_is_no_pair(other, message):
    with pytest.raises(ConfigError, match=message):
        compare({"global": stored(1.0)}, {"global": other})
