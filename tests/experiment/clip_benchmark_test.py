"""What the table builder of CLIP_benchmark makes of the files that an evaluation writes."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from tests.reference.tiny_run import tiny_config
from tvdim_jax.experiment import run_folder, summary
from tvdim_jax.experiment.clip_benchmark import SAME, with_our_names, with_their_names
from tvdim_jax.experiment.comparison import Stored
from tvdim_jax.experiment.tasks import Examples

GOLDEN = Path(__file__).parents[1] / "data" / "clip_benchmark.csv"
RECALLS = {
    **{f"image_to_text_R@{k}": k / 20 for k in (1, 5, 10)},
    **{f"text_to_image_R@{k}": k / 16 for k in (1, 5, 10)},
}
RESULTS = {
    "linear_probe": {"metrics": {"accuracy": 0.9}, "penalty": 10.0},
    "retrieval": {"metrics": RECALLS, "num_images": 24},
    "zero_shot": {
        "metrics": {"accuracy": 0.5},
        "top_5_accuracy": None,
        "class_mean_accuracy": 0.25,
    },
    "mi": {"metrics": {"info_nce_nats": 1.5}, "numbers": {}},
}


def build(folder):
    """`main_build` of clip_benchmark 1.6.2 on one folder: its rows, each with its own fields."""
    rows = []
    for name in sorted(path.name for path in folder.iterdir() if path.name.endswith(".json")):
        data = json.loads((folder / name).read_text())
        row = {}
        row.update(data["metrics"])
        row.update(data)
        del row["metrics"]
        row["model_fullname"] = row["model"] + " " + row["pretrained"]
        rows.append(row)
    return rows


@pytest.fixture
def evals(tmp_path):
    """The folder of results of a run, single scores and predictions beside them."""
    workdir = tmp_path / "runs" / "demo"
    config = tiny_config(workdir)
    right = np.ones((2, 1), bool)
    examples = Examples(np.arange(2), ("accuracy",), right, None, right)
    stored = {"linear_probe": {"global": Stored(examples, np.array(["a", "b"]), np.arange(2))}}
    summary._write({"trained": RESULTS}, stored, config, "scenes", 300)
    run_folder.write_json(run_folder.predictions_path(workdir, "vqa", "vqa"), [{"answer": "yes"}])
    return workdir / "evals"


def test_its_table_of_our_files(evals):
    """The golden file is what the builder wrote of these files, its columns in order."""
    rows = build(evals)
    columns = sorted({name for row in rows for name in row})
    with GOLDEN.open(newline="", encoding="utf-8") as file:
        golden = list(csv.reader(file))
    assert golden[0] == columns
    cells = [[row.get(name) for name in columns] for row in rows]
    assert golden[1:] == [["" if cell is None else str(cell) for cell in row] for row in cells]


def test_numbers_that_measure_the_same_have_both_names(evals):
    rows = {row["task"]: row for row in build(evals)}
    assert rows["linear_probe"]["lp_acc1"] == rows["linear_probe"]["accuracy"] == 0.9
    assert (rows["zero_shot"]["acc1"], rows["zero_shot"]["mean_per_class_recall"]) == (0.5, 0.25)
    assert "acc5" not in rows["zero_shot"]  # of three classes
    found = rows["retrieval"]
    for k in (1, 5, 10):
        assert found[f"image_retrieval_recall@{k}"] == RECALLS[f"text_to_image_R@{k}"]
        assert found[f"text_retrieval_recall@{k}"] == RECALLS[f"image_to_text_R@{k}"]
    assert set(rows["mi"]) & {name for each in SAME.values() for name in each.values()} == set()
    for row in rows.values():
        assert row["model_fullname"] == "amdim_tiny + text_tiny demo"
        assert (row["dataset"], row["language"]) == ("scenes", "en")


def test_our_names_alone(evals):
    for task, result in RESULTS.items():
        record = json.loads((evals / f"{task}_scenes.json").read_text())
        assert with_our_names(record)["metrics"] == result["metrics"]
        assert with_our_names(record)["model"] == "amdim_tiny + text_tiny"


def test_what_a_probe_and_several_labels_have_is_named(tmp_path):
    beside = {"class_mean_accuracy": 0.8, "top_5_accuracy": 0.95}
    probe = {"metrics": {"accuracy": 0.9}, **beside}
    several = {"metrics": {"mean_auc": 0.7, "mAP": 0.6}, "top_5_accuracy": None}
    config = tiny_config(tmp_path)
    found = with_their_names("linear_probe", probe, config)["metrics"]
    assert found == {
        "accuracy": 0.9, "lp_acc1": 0.9, "lp_acc5": 0.95, "lp_mean_per_class_recall": 0.8
    }  # fmt: skip
    found = with_their_names("zero_shot", several, config)["metrics"]
    assert found == {"mean_auc": 0.7, "mAP": 0.6, "mean_average_precision": 0.6}


def test_what_is_not_known_is_not_said(tmp_path):
    config = tiny_config(tmp_path, data__source="captions", objective__name="amdim")
    found = with_their_names("knn", {"metrics": {"accuracy": 1.0}}, config)
    assert found == {
        "metrics": {"accuracy": 1.0},
        "model": "amdim_tiny",
        "pretrained": tmp_path.name,
        "language": "",
    }


def test_a_real_run_is_read(tiny_run):
    rows = {row["task"]: row for row in build(tiny_run[0] / "evals")}
    assert set(rows) == {"knn", "retrieval"}
    found = rows["retrieval"]
    assert found["image_retrieval_recall@10"] == found["text_to_image_R@10"]
