"""Linear probe and kNN on labels of several kinds."""

import numpy as np
import pytest

from tests.reference.label_table import TOKENIZER, Table, halves
from tests.reference.tiny_run import tiny_config
from tvdim_jax.evals import linear_probe
from tvdim_jax.evals.auc import roc_auc
from tvdim_jax.evals.linear_probe import ProbeResult
from tvdim_jax.experiment.data import Splits
from tvdim_jax.experiment.tasks import TASK_OF, Context, Images
from tvdim_jax.experiment.tasks.labels import labelled_parts


def images(size):
    """Features of the first rows of a Table."""
    angle = np.arange(size) * (2 * np.pi / 40)
    features = np.stack([np.cos(angle), np.sin(angle)], -1).astype(np.float32)
    return Images(np.arange(size), {"global": features})


def score(train, test, tasks=("linear_probe", "knn")):
    parts = Splits(train, test), images(len(train)), images(len(test))
    context = Context(tiny_config(), *parts, None, TOKENIZER)
    return {task: TASK_OF[task].run(context).result for task in tasks}


def test_one_part_has_one_label_a_row_and_the_other_several():
    several = [[*names, "any"] if row % 2 else names for row, names in enumerate(halves(40))]
    train, test = Table(40, labels=several), Table(40, labels=halves(40))
    for parts in ((train, test), (test, train)):
        results = score(*parts)
        assert set(results["linear_probe"]["metrics"]) == {"mean_auc", "mAP"}
        assert set(results["knn"]["metrics"]) == {"mean_auc", "mAP"}
        assert results["linear_probe"]["num_classes"] == 3  # any, high, low
        # "any" is in one part only: it has no negative or no positive in the other.
        assert results["linear_probe"]["classes_skipped"] == (0,)
        assert results["linear_probe"]["metrics"]["mean_auc"] > 0.95
        assert results["linear_probe"]["metrics"]["mAP"] > 0.9  # "any" would be 0.5
        assert results["knn"]["metrics"]["mean_auc"] > 0.95
        assert results["knn"]["metrics"]["mAP"] > 0.9
        assert results["linear_probe"]["chance"] == results["knn"]["chance"] == {"mean_auc": 0.5}
        for task in ("linear_probe", "knn"):
            said = "; uncertain labels masked, unmentioned labels count as negative"
            assert results[task]["note"].endswith(said)


def test_a_class_that_is_only_in_the_test_part_counts_as_missed():
    labels = [["new"] if row < 4 else names for row, names in enumerate(halves(40))]
    results = score(Table(40, labels=halves(40)), Table(40, labels=labels))
    assert results["linear_probe"]["num_classes"] == 3
    assert results["linear_probe"]["metrics"]["accuracy"] <= 36 / 40
    assert results["knn"]["metrics"]["accuracy"] <= 36 / 40
    assert results["knn"]["metrics"]["accuracy"] >= 0.7


def test_ambiguous_entries_are_masked():
    """The test part calls every low image ambiguous: of "low" no entry with True is left."""
    labels = [[*names, "all"] for names in halves(40)]
    ambiguous = [["low"] if "low" in names else [] for names in labels]
    free = score(Table(40, labels=labels), Table(40, labels=labels), ["knn"])["knn"]
    masked = score(
        Table(40, labels=labels), Table(40, labels=labels, ambiguous=ambiguous), ["knn"]
    )["knn"]
    assert free["classes_skipped"] == (0,)  # all
    assert masked["classes_skipped"] == (0, 2)  # all, low


def test_a_record_holds_the_metric_by_its_name():
    parts = Table(40, labels=halves(40)), Table(40, labels=halves(40))
    record = score(*parts, tasks=["knn"])["knn"]
    assert record["metrics"] == {"accuracy": 1.0}
    assert record["chance"] == {"accuracy": 0.5}
    assert "metric" not in record
    assert "value" not in record
    assert record["note"] == (
        "20 nearest by cosine, votes exp(cosine / 0.07); 40 training and 40 test images"
    )


def test_of_one_label_the_probe_also_tells_top_5_and_the_mean_over_classes():
    """30 images of 24 are called high, so the mean over classes is not the accuracy."""
    labels = [["low"] if row < 6 else ["high"] for row in range(30)]
    record = score(Table(40, labels=halves(40)), Table(30, labels=labels), ["linear_probe"])
    result = record["linear_probe"]
    assert result["metrics"] == {"accuracy": pytest.approx(16 / 30)}  # 20 to 29 are high
    assert result["class_mean_accuracy"] == pytest.approx((1 + 10 / 24) / 2)
    assert "top_5_accuracy" not in result
    eighths = [[str(row // 5)] for row in range(40)]
    next_ones = Table(40, labels=eighths[5:] + eighths[:5])
    result = score(Table(40, labels=eighths), next_ones, ["linear_probe"])["linear_probe"]
    assert result["metrics"]["accuracy"] < 0.2
    assert result["top_5_accuracy"] > 0.9


PROBE = ProbeResult(
    *("accuracy", 0.9, 100.0, 0.875, (1e4, 1e2, 0.1), (0.5, 0.875, 0.75), 2000, 400, 1000),
    *(64, 2, (), 0, True),
)


class Studies(Table):
    """Four images each."""

    def study_id(self, row):
        return row // 4


def test_images_of_one_study_are_held_out_together(monkeypatch):
    asked = {}

    def predict(fitted, scored, **options):
        asked.update(options)
        return PROBE, np.zeros((40, 2))

    monkeypatch.setattr(linear_probe, "predict", predict)
    score(*[Studies(40, labels=halves(40))] * 2, ["linear_probe"])
    assert asked["group_id"].tolist() == [row // 4 for row in range(40)]


@pytest.mark.parametrize(
    ("changes", "end"),
    [
        ({}, "; 1,000 test images"),
        ({"converged": False}, "; 1,000 test images; L-BFGS has not converged"),
        ({"penalty": 1e4, "validation_scores": (0.875, 0.875, 0.5)}, "; 1,000 test images"),
        (
            {"penalty": 1e4, "validation_scores": (0.875, 0.8, 0.5)},
            "; a stronger penalty, which was not tried, may be better",
        ),
        (
            {"penalty": 0.1, "validation_scores": (0.5, 0.8, 0.875)},
            "; a weaker penalty, which was not tried, may be better",
        ),
    ],
)
def test_the_penalty_and_how_it_was_chosen_are_said(monkeypatch, changes, end):
    found = PROBE._replace(**changes)
    monkeypatch.setattr(linear_probe, "predict", lambda *_, **__: (found, np.zeros((30, 2))))
    record = score(*[Table(30, labels=halves(30))] * 2, ["linear_probe"])["linear_probe"]
    assert record["note"].startswith(
        f"L-BFGS, penalty {found.penalty:g} of 10000 to 0.1, by accuracy 87.5% on 400 of the 2,000 "
        "training images"
    )
    assert record["note"].endswith(end)


@pytest.mark.parametrize("task", ["linear_probe", "knn"])
def test_scores_of_several_labels_are_kept_where_they_count(task):
    """They give the mean AUC again; "any", which all images have, is not among them."""
    several = Table(40, labels=[[*names, "any"] for names in halves(40)])
    splits = Splits(several, several)
    outcome = TASK_OF[task].run(Context(tiny_config(), splits, images(40), images(40), None, None))
    examples = outcome.examples["global"]
    assert examples.names == ("high", "low")
    aucs = [
        roc_auc(*(array[examples.where[:, place], place] for array in examples[2:4]))
        for place in range(2)
    ]
    assert np.mean(aucs) == pytest.approx(outcome.result["metrics"]["mean_auc"])


def test_the_neighbours_keep_which_images_were_right():
    splits = Splits(Table(40, labels=halves(40)), Table(30, labels=[["low"]] * 30))
    outcome = TASK_OF["knn"].run(
        Context(tiny_config(), splits, images(40), images(30), None, TOKENIZER)
    )
    right = outcome.examples["global"].scores
    assert right.shape == (30, 1)
    assert right.mean() == pytest.approx(outcome.result["metrics"]["accuracy"])


def test_the_probe_keeps_which_images_were_right():
    splits = Splits(Table(40, labels=halves(40)), Table(30, labels=[["low"]] * 30))
    context = Context(tiny_config(), splits, images(40), images(30), None, TOKENIZER)
    outcome = TASK_OF["linear_probe"].run(context)
    examples = outcome.examples["global"]
    assert examples.names == ("accuracy",)
    assert examples.labels is None
    assert examples.scores[:, 0].tolist() == [True] * 20 + [False] * 10
    assert outcome.result["metrics"]["accuracy"] == pytest.approx(20 / 30)


def test_what_is_missing_is_said_before_an_image_is_read():
    labelled, config = Table(40, labels=halves(40)), tiny_config(eval__num_test_examples=3)
    late = Table(40, labels=[[]] * 3 + halves(37))  # none among the rows that are read
    for task in ("linear_probe", "knn"):
        missing = TASK_OF[task].missing
        assert missing(config, Splits(labelled, labelled)) is None
        assert missing(config, Splits(Table(3), labelled)) == (
            "the training part of table has no labels"
        )
        assert missing(config, Splits(labelled, late)) == "the test part of table has no labels"


def test_images_that_could_be_read_without_labels():
    splits = Splits(Table(40, labels=halves(40)), Table(40, labels=[[]] * 39 + [["low"]]))
    with pytest.raises(ValueError, match="got 2 classes in the training and 0 in the test images"):
        labelled_parts(images(40), images(39), splits)
