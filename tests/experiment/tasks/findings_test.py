"""AUROC of findings through the whole task: planted signals, doubt, and what is left out."""

import numpy as np
import pytest

from tests.reference.label_table import Findings, Table, halves
from tests.reference.tiny_run import tiny_config
from tvdim_jax.evals import linear_probe
from tvdim_jax.experiment.data import Splits
from tvdim_jax.experiment.tasks import TASK_OF, Context, Images
from tvdim_jax.experiment.tasks.findings import FINDINGS, is_one_class, marks_matrix
from tvdim_jax.experiment.tasks.label_fractions import LABEL_FRACTIONS

TRAIN, TEST = Findings(300, seed=0), Findings(200, seed=1, first_subject=500)


def context(signal, local_signal=None, **changes):
    parts = []
    for source, seed in ((TRAIN, 2), (TEST, 3)):
        features = {"global": source.features(seed, signal)}
        if local_signal is not None:
            features["local_mean"] = source.features(seed + 10, local_signal)
        parts.append(Images(np.arange(len(source)), features))
    return Context(tiny_config(**changes), Splits(TRAIN, TEST), *parts, None, None)


def test_a_planted_signal_is_found_and_noise_is_not():
    """The local map has the signal, the global vector none."""
    outcome = FINDINGS.run(context(0.0, local_signal=5.0))
    result = outcome.result
    assert result["metrics"]["local_mean_auc"] > 0.98
    assert 0.4 < result["metrics"]["mean_auc"] < 0.6
    assert list(result["details"]) == ["global", "local_mean"]
    for name in Findings.NAMES:
        assert result["details"]["local_mean"][name] > 0.97
        assert 0.35 < result["details"]["global"][name] < 0.65
    means = [result["details"]["local_mean"][name] for name in Findings.NAMES]
    assert result["details"]["local_mean"]["mean"] == pytest.approx(np.mean(means))
    assert list(outcome.examples) == ["global", "local_mean"]


def test_on_mimic_cxr_the_mean_of_the_authors_findings_stands_beside_that_of_all():
    """Of theirs the set has Edema and Pneumonia; a fracture is none of them."""
    result = FINDINGS.run(context(3.0, local_signal=1.0, data__source="mimic_cxr")).result
    for kind, name in (("global", ""), ("local_mean", "local_")):
        row = result["details"][kind]
        mean = (row["Edema"] + row["Pneumonia"]) / 2
        assert row["mean of LMI's nine"] == pytest.approx(mean)
        assert result["metrics"][f"{name}mean_auc_lmi_nine"] == pytest.approx(mean)
    assert result["note"].endswith("; only 2 of LMI's nine findings could be scored")
    elsewhere = FINDINGS.run(context(3.0)).result
    assert elsewhere["metrics"].keys() == {"mean_auc"}
    assert list(elsewhere["details"]["global"]) == [*Findings.NAMES, "mean"]


@pytest.mark.parametrize(
    ("uncertain", "unmentioned", "text"),
    [
        ("masked", "masked", "uncertain labels masked, unmentioned labels masked"),
        ("positive", "masked", "uncertain labels count as positive, unmentioned labels masked"),
        ("negative", "negative", "count as negative, unmentioned labels count as negative"),
    ],
)
def test_the_policy_is_that_of_the_config_and_is_said(uncertain, unmentioned, text):
    words = {"eval__uncertain": uncertain, "eval__unmentioned": unmentioned}
    outcome = FINDINGS.run(context(4.0, **words))
    result, examples = outcome.result, outcome.examples["global"]
    assert text in result["note"]
    assert (result["global"]["uncertain"], result["global"]["unmentioned"]) == (
        uncertain,
        unmentioned,
    )
    marks = TEST.marks[:, Findings.NAMES.index("Edema")]
    wanted = {
        "positive": np.sum((marks == 1) | ((marks == -1) & (uncertain == "positive"))),
        "masked": np.sum(
            ((marks == -1) & (uncertain == "masked")) | ((marks == -2) & (unmentioned == "masked"))
        ),
    }
    wanted["negative"] = 200 - wanted["positive"] - wanted["masked"]
    assert result["counts"]["Edema"] == wanted
    assert examples.where.sum(axis=0)[0] == 200 - wanted["masked"]
    assert examples.labels.sum(axis=0)[0] == wanted["positive"]
    assert examples.rows.tolist() == list(range(200))


def test_a_set_that_does_not_tell_of_absence_masks_nothing_and_says_so():
    """What its images do not name is negative, whatever the config says of the unmentioned."""
    labels = [["low", "dark"] if row < 20 else ["high"] for row in range(40)]
    source = Table(40, labels=labels, ambiguous=[["dark"] if row > 35 else [] for row in range(40)])
    features = np.random.default_rng(0).normal(size=(40, 4)).astype(np.float32)
    images = Images(np.arange(40), {"global": features})
    splits = Splits(source, source)
    outcome = FINDINGS.run(Context(tiny_config(), splits, images, images, None, None))
    said = "uncertain labels masked, unmentioned labels count as negative"
    assert said in outcome.result["note"]
    assert outcome.result["global"]["unmentioned"] == "negative"
    assert outcome.result["counts"]["dark"] == {"positive": 20, "negative": 16, "masked": 4}
    result = LABEL_FRACTIONS.run(Context(tiny_config(), splits, images, images, None, None)).result
    assert said in result["note"]


def test_a_finding_that_cannot_be_scored_is_left_out():
    marks = TEST.marks.copy()
    try:
        TEST.marks[:, 1] = np.where(marks[:, 1] == 0, -2, marks[:, 1])  # no negative fracture
        outcome = FINDINGS.run(context(4.0))
    finally:
        TEST.marks[:] = marks
    assert outcome.result["details"]["global"]["Fracture"] is None
    assert outcome.examples["global"].names == ("Edema", "Pneumonia")
    assert outcome.examples["global"].scores.shape == (200, 2)


def test_nothing_to_learn_is_an_error_with_the_policy():
    marks = TRAIN.marks.copy()
    try:
        TRAIN.marks[:] = np.where(marks == 0, -2, marks)
        with pytest.raises(ValueError, match=r"findings, uncertain labels masked, .*mean AUC"):
            FINDINGS.run(context(4.0))
    finally:
        TRAIN.marks[:] = marks


def test_the_policy_is_looked_at_before_an_image_is_read():
    """The negatives are unmentioned: masked, no finding has two values."""
    splits = Splits(Findings(40, seed=0), Findings(24, seed=1, first_subject=500))
    for part in splits:
        part.marks[:] = np.where(part.marks == 0, -2, part.marks)
    assert FINDINGS.missing(tiny_config(), splits) == (
        "no finding of findings is both positive and negative in the training and in the test "
        "images, uncertain labels masked, unmentioned labels masked; read more images or take "
        "another config.eval.uncertain or config.eval.unmentioned"
    )
    for name in ("label_fractions", "finetune"):
        found = TASK_OF[name].missing(tiny_config(), splits)
        assert found == FINDINGS.missing(tiny_config(), splits)
    for words in ({"eval__unmentioned": "negative"}, {"eval__uncertain": "negative"}):
        assert FINDINGS.missing(tiny_config(**words), splits) is None
        assert LABEL_FRACTIONS.missing(tiny_config(**words), splits) is None
    splits.train.marks[:, 0], splits.test.marks[:, 1] = 0, 0  # of no finding in both parts
    assert "both positive and negative" in FINDINGS.missing(tiny_config(), splits)


def test_every_probe_holds_out_whole_subjects(monkeypatch, tmp_path):
    table = tmp_path / "grades.csv"
    rows = [f"{row}.jpg,{row % 3}" for row in range(300)]
    table.write_text("\n".join(["image,grade", *rows]))
    fit, seen = linear_probe.predict, []

    def noting(train, test, **options):
        seen.append(options["group_id"])
        return fit(train, test, **options)

    monkeypatch.setattr(linear_probe, "predict", noting)
    for task in ("findings", "linear_probe", "ordinal", "label_fractions"):
        TASK_OF[task].run(context(3.0, eval__grades_path=table))
    subjects = np.arange(300) // 4
    for groups in (*seen[:3], seen[-1]):
        np.testing.assert_array_equal(groups, subjects)
    smaller = np.unique(seen[-2], return_counts=True)  # of a label fraction
    assert set(smaller[1]) == {4}


def test_marks():
    found = marks_matrix(TEST, [5, 0, 7], ["Pneumonia", "Edema"])
    np.testing.assert_array_equal(found, TEST.marks[[5, 0, 7]][:, [2, 0]])
    captions = Table(2, labels=[["a"], ["b", "c"]], ambiguous=[["b"], []])
    np.testing.assert_array_equal(
        marks_matrix(captions, [0, 1], ["a", "b"]), [[1, -1], [0, 1]]
    )  # what a plain set does not name is absent


def test_sets_of_one_class_an_image_are_for_the_linear_probe():
    config, one = tiny_config(), Table(40, labels=halves(40))
    assert FINDINGS.missing(config, Splits(TRAIN, TEST)) is None
    assert FINDINGS.missing(config, Splits(one, one)) == (
        "each image of table has one class, which linear_probe scores"
    )
    assert FINDINGS.missing(config, Splits(one, Table(3))) == (
        "the test part of table has no labels"
    )
    doubted = Table(40, labels=halves(40), ambiguous=[["low"]] + [[]] * 39)
    assert is_one_class(config, Splits(one, one))
    assert not is_one_class(config, Splits(one, doubted))
    assert not is_one_class(config, Splits(TRAIN, TEST))
