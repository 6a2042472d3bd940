"""Runs compared from their folders."""

import json

import pytest

from tests.reference.report_folder import Elements, write_run_folder
from tvdim_jax.config import ConfigError
from tvdim_jax.experiment.comparison import load, save
from tvdim_jax.experiment.run_comparison import write_comparison


@pytest.fixture
def runs(tmp_path):
    good = write_run_folder(tmp_path / "good", accuracy=0.9)
    bad = write_run_folder(tmp_path / "bad", accuracy=0.5, seed=1, optimizer__learning_rate=0.5)
    return good, bad


def page_of(runs, tmp_path):
    path = write_comparison(runs, tmp_path / "page.html")
    return Elements(path.read_text(encoding="utf-8"))


def test_scores_differences_curves_and_fields(runs, tmp_path):
    page = page_of(runs, tmp_path)
    assert page.open == []
    assert page.text.startswith("good, bad")
    assert "linear probe on scenes accuracy 90.0 % 50.0 %" in page.text
    (forest,) = (
        each["aria-label"] for each in page.of("svg") if "bad minus good" in each["aria-label"]
    )
    difference, low, high = (
        float(each) for each in forest.split("accuracy: ")[1].strip(")").replace("(", "to ")
        .split(" to ")
    )  # fmt: skip
    assert low < difference < high < -20
    assert difference > -55
    assert "optimizer.learning_rate 0.002 0.5" in page.text


def test_both_directions_of_retrieval_are_compared(runs, tmp_path):
    for run in runs:
        stored = load(run / "evals" / "linear_probe_scenes.npz")["global"]
        parts = {"image to text": stored, "text to image": stored}
        save(run / "evals" / "retrieval_scenes.npz", parts)
    text = page_of(runs, tmp_path).text
    for direction in ("image to text", "text to image"):
        assert f"points below good in retrieval on scenes, {direction} accuracy;" in text
    assert "points below good in linear probe on scenes, accuracy;" in text


def test_what_is_not_alike_is_said(runs, tmp_path):
    path = runs[1] / "evals" / "linear_probe_scenes.json"
    record = json.loads(path.read_text())
    record["images"]["train"]["read"] = 20
    path.write_text(json.dumps(record))
    said = "linear probe on scenes: the runs differ in more than their weights: training images 20"
    assert said in page_of(runs, tmp_path).text


def test_damaged_single_scores_are_named_and_the_rest_is_there(runs, tmp_path):
    (runs[1] / "evals" / "linear_probe_scenes.npz").write_bytes(b"PK")
    text = page_of(runs, tmp_path).text
    assert "linear probe on scenes: not compared, as cannot read the single scores" in text
    assert "accuracy 90.0 % 50.0 %" in text


def test_runs_without_single_scores(runs, tmp_path):
    (runs[0] / "evals" / "linear_probe_scenes.npz").unlink()
    assert "No single scores of the same images" in page_of(runs, tmp_path).text


def test_two_folders_of_one_name_go_by_their_paths(runs, tmp_path):
    other = write_run_folder(tmp_path / "b" / "good")
    assert "good, b/good" in page_of([runs[0], other], tmp_path).text


def test_a_run_of_a_very_long_name(runs, tmp_path):
    other = write_run_folder(tmp_path / ("long" * 50))  # figures would have no room for it
    assert f"good, {'long' * 50}" in page_of([runs[0], other], tmp_path).text


def test_a_run_named_twice(runs, tmp_path):
    with pytest.raises(ConfigError, match="is named twice; name each run once"):
        write_comparison([runs[0], runs[0]], tmp_path / "page.html")


def test_no_run(runs, tmp_path):
    with pytest.raises(ConfigError, match="no run in"):
        write_comparison([runs[0], tmp_path], tmp_path / "page.html")
