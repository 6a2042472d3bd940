"""What is scored on the features of an encoder; the encoders here are tables made by hand."""

import sys

import numpy as np
import pytest

from tests.reference.label_table import (
    ENCODERS,
    TOKENIZER,
    Findings,
    Table,
    embed_level,
    halves,
    numbers,
)
from tests.reference.tiny_run import tiny_config
from tvdim_jax.data.bad_examples import BadExamples
from tvdim_jax.experiment import evaluation
from tvdim_jax.experiment.data import Splits
from tvdim_jax.experiment.evaluation import EvaluationError, evaluate
from tvdim_jax.experiment.tasks import Outcome

ALL_TASKS = ("linear_probe", "knn", "retrieval")


def found_by(splits, tasks=ALL_TASKS, encoders=ENCODERS, ledger=None, **changes):
    return evaluate(
        {"trained": encoders}, splits, TOKENIZER, tiny_config(**changes), tasks=tasks, ledger=ledger
    )


def run(*args, **options):
    """Task -> result."""
    outcomes = found_by(*args, **options).rows["trained"]
    return {task: outcome.result for task, outcome in outcomes.items()}


def test_all_tasks_and_the_tail_counts():
    """40 and 24 rows in batches of 16; perfect features score 1."""
    splits = Splits(
        Table(40, labels=halves(40)), Table(24, labels=halves(24), captions=numbers(24))
    )
    results = run(splits)
    assert list(results) == ["linear_probe", "knn", "retrieval"]
    assert results["linear_probe"]["num_train"] == results["knn"]["num_train"] == 40
    assert results["linear_probe"]["num_test"] == results["knn"]["num_test"] == 24
    assert results["linear_probe"]["metrics"] == {"accuracy": 1.0}
    assert set(results["knn"]["metrics"]) == {"accuracy"}
    retrieval = results["retrieval"]
    assert (retrieval["num_images"], retrieval["num_texts"]) == (24, 24)
    assert retrieval["metrics"]["image_to_text_R@1"] == 1.0
    assert retrieval["metrics"]["text_to_image_R@1"] == 1.0
    assert retrieval["chance"]["text_to_image_R@1"] == 1 / 24


def test_reading_images_is_reported():
    lines = []
    splits = Splits(Table(40, labels=halves(40)), Table(24, labels=halves(24)))
    encoders, options = {"trained": ENCODERS}, {"tasks": ["knn"], "report": lines.append}
    evaluate(encoders, splits, TOKENIZER, tiny_config(), **options)
    assert [line.split("  ")[0] for line in lines] == [
        *(f"training part: {done} of 40 images" for done in (16, 32, 40)),
        *(f"test part: {done} of 24 images" for done in (16, 24)),
    ]


def test_the_sizes_of_the_config_limit_the_parts():
    splits = Splits(Table(40, labels=halves(40)), Table(40, labels=halves(40)))
    result = run(splits, ["knn"], eval__num_train_examples=33, eval__num_test_examples=21)["knn"]
    assert (result["num_train"], result["num_test"], result["num_neighbors"]) == (33, 21, 20)
    assert result["images"]["train"] == {"available": 40, "asked": 33, "read": 33}
    cut = "; the first 33 of 40 training images; the first 21 of 40 test images"
    assert result["note"].endswith(cut)
    whole = run(splits, ["knn"], eval__num_test_examples=40)["knn"]
    assert "the first" not in whole["note"]


def test_few_rows_are_all_neighbours():
    splits = Splits(Table(6, labels=halves(6)), Table(24, labels=halves(24)))
    assert run(splits, ["knn"])["knn"]["num_neighbors"] == 6


def test_bad_images_do_not_count_and_are_listed():
    ledger = BadExamples()
    splits = Splits(
        Table(40, labels=halves(40), bad=(1,)),
        Table(24, labels=halves(24), captions=numbers(24), bad=(0, 17)),
    )
    results = run(splits, ledger=ledger)
    assert (results["knn"]["num_train"], results["knn"]["num_test"]) == (39, 22)
    assert results["retrieval"]["num_texts"] == 22
    assert results["retrieval"]["metrics"]["text_to_image_R@1"] == 1.0  # by row, not by position
    assert results["knn"]["images"]["test"] == {"available": 24, "asked": 24, "read": 22}
    assert results["retrieval"]["images"]["train"] == {"available": 0, "asked": 0, "read": 0}
    assert ledger.counts() == {"missing file": 3}


def test_without_labels_there_is_no_probe():
    captioned = Table(24, captions=numbers(24))
    assert list(run(Splits(Table(40), captioned))) == ["retrieval"]
    labelled = Splits(Table(40, labels=halves(40)), captioned)
    assert list(run(labelled)) == ["retrieval"]


def test_what_is_missing_is_told_and_reads_no_image():
    unreadable = Table(24, bad=range(24))
    found = found_by(Splits(unreadable, unreadable))
    assert found.rows == {"trained": {}}
    assert found.missing == {
        "linear_probe": "the training part of table has no labels",
        "knn": "the training part of table has no labels",
        "retrieval": "the test part of table has no texts",
    }
    assert found_by(Splits(unreadable, unreadable), []).missing == {}
    splits = Splits(Table(40, labels=halves(40)), Table(24, labels=halves(24)))
    found = found_by(splits, ["knn", "retrieval"])
    assert list(found.rows["trained"]) == ["knn"]
    assert list(found.missing) == ["retrieval"]


def test_only_the_test_part_is_read_where_nothing_learns():
    unreadable = Table(24, captions=numbers(24), bad=range(24))
    splits = Splits(unreadable, Table(24, captions=numbers(24)))
    assert list(run(splits, ["retrieval"])) == ["retrieval"]


@pytest.mark.parametrize(
    ("test", "encoders", "text"),
    [
        (
            Table(24, labels=halves(24), bad=range(24)),
            ENCODERS,
            "no real row to extract features from",
        ),
        (
            Table(24, labels=halves(24)),
            ENCODERS._replace(
                image=lambda batch: {"global": embed_level(batch)["global"] * np.nan}
            ),
            "hold NaN or infinity",
        ),
        (Table(24, labels=[["low", "high"]] * 24), ENCODERS, "mean AUC is undefined"),
    ],
)
def test_what_cannot_be_scored_is_one_error(test, encoders, text):
    with pytest.raises(EvaluationError, match=f"cannot evaluate: .*{text}"):
        run(Splits(Table(40, labels=halves(40)), test), ["knn"], encoders)


def fail(context):
    raise ValueError("mean AUC is undefined")


def test_a_task_that_cannot_be_scored_keeps_no_other_from_it(monkeypatch):
    knn = evaluation.TASK_OF["knn"]
    monkeypatch.setitem(evaluation.TASK_OF, "knn", knn._replace(run=fail))
    splits = Splits(Table(40, labels=halves(40)), Table(24, labels=halves(24)))
    found = found_by(splits, ["knn", "linear_probe"])
    assert list(found.rows["trained"]) == ["linear_probe"]
    assert found.missing == {"knn": "mean AUC is undefined"}
    with pytest.raises(EvaluationError, match="cannot evaluate: knn: mean AUC is undefined"):
        found_by(splits, ["knn"])


def test_a_baseline_that_cannot_be_scored_is_left_out(monkeypatch):
    knn = evaluation.TASK_OF["knn"]

    def of_pixels(context):
        return fail(context) if context.encoders is None else knn.run(context)

    monkeypatch.setitem(evaluation.TASK_OF, "knn", knn._replace(run=of_pixels))
    splits = Splits(Table(40, labels=halves(40)), Table(24, labels=halves(24)))
    found = evaluate(
        {"trained": ENCODERS}, splits, TOKENIZER, tiny_config(), tasks=["knn"], with_pixels=True
    )
    assert {name: list(tasks) for name, tasks in found.rows.items()} == {
        "trained": ["knn"],
        "raw pixels": [],
        "pixels + gradients": [],
    }
    assert list(found.missing) == ["knn of raw pixels", "knn of pixels + gradients"]


def test_people_of_the_training_part_are_not_scored():
    train, test = Findings(60, seed=0), Findings(40, seed=1, first_subject=14)
    with pytest.raises(EvaluationError, match="must not share subjects: got 1 in both: 14; keep"):
        run(Splits(train, test), ["findings"], eval__num_train_examples=60)
    with pytest.raises(EvaluationError, match="no test reads an image"):  # the first 40 are others
        run(
            Splits(train, test),
            ["findings"],
            ENCODERS._replace(image=refuse),
            eval__num_train_examples=40,
        )


def refuse(batch):
    raise ValueError("no test reads an image")


def test_a_task_with_rows_of_its_own_leaves_the_others_theirs(tmp_path):
    """Grades of images behind the first ones, which the other tasks read."""
    path = tmp_path / "grades.csv"
    graded = [*range(2, 60, 4)]
    path.write_text("image,grade\n" + "".join(f"{row}.jpg,{row // 20}\n" for row in graded))
    read = []
    parts = [Table(60, labels=halves(60)) for _ in range(2)]
    for part in parts:
        decode = part.read_image
        part.read_image = lambda row, min_side, own=decode: read.append(row) or own(row)
    found = run(Splits(*parts), ["knn", "ordinal"], eval__grades_path=path)
    assert (found["knn"]["num_train"], found["knn"]["num_test"]) == (40, 24)
    assert found["ordinal"]["global"]["num_test"] == len(graded)
    assert found["ordinal"]["global"]["grade_counts"] == (5, 5, 5)
    assert "the first" not in found["ordinal"]["note"]  # it reads all that have a grade
    wanted = sorted([*{*range(40), *graded}, *{*range(24), *graded}])
    assert sorted(read) == wanted


def with_pixels(splits, monkeypatch, **changes):
    """Evaluation of two encoders and of pixels, and the shapes of the images that pixels saw."""
    shapes = []
    for name in evaluation.PIXELS:
        monkeypatch.setitem(
            evaluation.PIXELS,
            name,
            lambda images: shapes.append((images.dtype, images.shape)) or images[:, 0, 0],
        )
    encoders = {"trained": ENCODERS, "random initialisation": ENCODERS}
    config = tiny_config(**changes)
    found = evaluate(encoders, splits, TOKENIZER, config, tasks=ALL_TASKS, with_pixels=True)
    return found.rows, set(shapes)


def test_pixels_are_scored_beside_the_encoders(monkeypatch):
    """Both on the same splits, the raw ones separate grey levels; no retrieval."""
    test = Table(24, labels=halves(24), captions=numbers(24), bad=(2,))
    rows, shapes = with_pixels(Splits(Table(40, labels=halves(40)), test), monkeypatch)
    assert list(rows) == ["trained", "random initialisation", "raw pixels", "pixels + gradients"]
    for name, tasks in rows.items():
        of_pixels = "pixels" in name
        assert list(tasks) == list(ALL_TASKS[:2] if of_pixels else ALL_TASKS)
        knn = tasks["knn"].result
        assert (knn["num_train"], knn["num_test"]) == (40, 23)
        assert tasks["linear_probe"].result["metrics"]["accuracy"] > 0.9
    assert shapes == {(np.dtype(np.uint8), (16, 32, 32, 3))}


def test_every_image_is_decoded_once(monkeypatch):
    """For two encoders, several tasks and two kinds of pixels."""
    splits = Splits(
        Table(40, labels=halves(40)), Table(24, labels=halves(24), captions=numbers(24))
    )
    read = []
    for part in splits:
        decode = part.read_image
        part.read_image = lambda row, min_side, own=decode: read.append(row) or own(row)
    with_pixels(splits, monkeypatch)
    assert sorted(read) == sorted([*range(40), *range(24)])


def test_pixels_of_grey_runs_are_those_of_the_rgb_images(monkeypatch):
    parts = [Table(size, labels=halves(size), captions=numbers(size)) for size in (40, 24)]
    for part in parts:
        part.read_grey = lambda row, min_side: np.full((32, 32, 1), row, np.uint16)
    seen = []

    def embed(batch):
        seen.append(batch["image"].dtype)
        return embed_level({"image": np.repeat(batch["image"][:, 5:37, 5:37], 3, axis=3)})

    monkeypatch.setattr(sys.modules[__name__], "ENCODERS", ENCODERS._replace(image=embed))
    rows, shapes = with_pixels(Splits(*parts), monkeypatch, augment="xray")
    assert len(rows) == 4
    assert set(seen) == {np.dtype(np.uint16)}
    assert shapes == {(np.dtype(np.uint8), (16, 32, 32, 3))}


def test_local_maps_are_kept_for_critics_alone(monkeypatch):
    """They are large; where images meet texts by cosine nobody reads them."""
    kept = []

    def keep(context):
        kept.append(set(context.test.features))
        return Outcome({}, {})

    task = evaluation.TASK_OF["retrieval"]._replace(run=keep, missing=lambda *_: None)
    monkeypatch.setitem(evaluation.TASK_OF, "retrieval", task)

    def embed(batch):
        return {**embed_level(batch), "local_map": np.zeros((16, 2, 2, 3))}

    splits = Splits(Table(3), Table(24))
    for changes in ({}, {"objective__name": "lmi"}):
        run(splits, ["retrieval"], ENCODERS._replace(image=embed), **changes)
    assert kept == [{"global"}, {"global", "local_map"}]
