"""The record, the table and the panels of runs that are only files."""

from pathlib import Path

import pytest
from matplotlib.figure import Figure
from rich.console import Console

from tests.reference.tiny_run import tiny_config
from tvdim_jax.experiment import noise_report, run_folder
from tvdim_jax.experiment.data import make_splits
from tvdim_jax.experiment.noise_report import Column, collect, columns_of, draw, noise_table
from tvdim_jax.experiment.twins import Twin

RECALLS = ("text_to_image_R@1", "text_to_image_R@10", "image_retrieval_recall@10")


def result(accuracy):
    return {
        "metrics": {"accuracy": accuracy},
        "chance": {"accuracy": 0.125},
        "baselines": {"raw pixels": {"metrics": {"accuracy": 0.2}}},
    }


@pytest.fixture
def record(tmp_path):
    """Two objectives at two levels; one has no retrieval."""
    tasks = "('knn','retrieval','mi','pointing')"
    twins, noise = [], {level: {"num_swapped": int(64 * level)} for level in (0.0, 0.5)}
    for number, (objective, level) in enumerate([("a", 0.0), ("b", 0.0), ("a", 0.5), ("b", 0.5)]):
        config = tiny_config(tmp_path / f"{objective}{level}", eval__tasks=tasks)
        twins.append(Twin(objective, level, config))
        results = {"knn": result(0.9 - number / 10), "mi": {"metrics": {"x": 1.5}, "numbers": {}}}
        if objective == "a":
            results["retrieval"] = {"metrics": dict(zip(RECALLS, (0.1, 0.3, 0.3), strict=True))}
        for task, each in results.items():
            each["task"] = task
            path = run_folder.evaluation_path(Path(config.workdir), task, "scenes")
            run_folder.write_json(path, each)
    return collect(twins, make_splits(twins[0].config), noise)


def test_what_is_recorded(record, tmp_path):
    assert (record["dataset"], record["num_train"], record["num_test"]) == ("scenes", 64, 24)
    runs = record["runs"]
    assert [(run["objective"], run["level"], run["num_swapped"]) for run in runs] == [
        ("a", 0.0, 0), ("b", 0.0, 0), ("a", 0.5, 32), ("b", 0.5, 32)
    ]  # fmt: skip
    assert runs[2]["run"] == str(tmp_path / "a0.5")
    assert list(runs[0]["results"]) == ["knn", "retrieval", "mi"]  # pointing has no file
    assert runs[3]["results"]["knn"] == {**result(0.9 - 3 / 10), "task": "knn"}
    assert list(runs[0]["results"]["retrieval"]["metrics"]) == [*RECALLS[:2]]  # ours


def test_table(record):
    columns = [("knn", "accuracy", 100), ("retrieval", RECALLS[1], 100), ("mi", "x", 1)]
    assert columns_of(record) == [Column(*each) for each in columns]
    console = Console(width=100)
    with console.capture() as printed:
        console.print(noise_table(record))
    lines = [line.split() for line in printed.get().splitlines()]
    for row in (
        ["a", "0", "90.0", "30.0", "1.5"],
        ["b", "0", "80.0", "-", "1.5"],
        ["a", "50", "70.0", "30.0", "1.5"],
        ["raw", "pixels", "-", "20.0", "-", "-"],
        ["chance", "-", "12.5", "-", "-"],
    ):
        assert row in lines


def test_panels(record, monkeypatch, tmp_path):
    calls, path = [], tmp_path / "x.png"
    monkeypatch.setattr(
        noise_report, "noise_figure", lambda *given: (calls.append(given), Figure())[1]
    )
    assert draw(record, path)
    ((panels, title),) = calls
    assert path.exists()
    assert title.startswith("scenes: seed 0, 6 updates of 8 images; 24 test images with their own")
    assert [panel.label for panel in panels] == [
        "knn accuracy, %", "retrieval text to image R@10, %", "mi x"
    ]  # fmt: skip
    assert panels[0].curves["b"] == {0: [pytest.approx(80)], 50: [pytest.approx(60)]}
    assert panels[1].curves["b"] == {0: [], 50: []}
    assert panels[0].lines == {"raw pixels": 20, "chance": 12.5}
    assert not draw({**record, "runs": []}, path)
    assert len(calls) == 1
