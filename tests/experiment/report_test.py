"""The report from run folders: full, empty, stopped, without text, damaged, hostile."""

import json
import re

import pytest

from tests.reference.report_folder import HOSTILE, Elements, write_run_folder
from tests.reference.tiny_run import tiny_config
from tvdim_jax.config import ConfigError
from tvdim_jax.experiment.report import write_report
from tvdim_jax.report import Section

SECTIONS = ["curves", "scores", "gallery", "information", "timing", "settings"]


@pytest.fixture(scope="module")
def full(tmp_path_factory):
    folder = write_run_folder(tmp_path_factory.mktemp("runs") / "full")
    return Elements(write_report(folder).read_text(encoding="utf-8"))


def text_of(path):
    return Elements(path.read_text(encoding="utf-8")).text


def test_every_section_and_figure_is_there_and_closed(full):
    assert [each["id"] for each in full.of("section")] == SECTIONS
    assert full.open == []
    assert [each["href"] for each in full.of("a")] == [f"#{name}" for name in SECTIONS]
    labels = [each["aria-label"] for each in full.of("svg")]
    for said in (
        "nats over updates: image text ends at",
        "score of the critic over updates",
        "learning rate over updates",
        "examples / s over updates",
        "nats: trained, InfoNCE",
    ):
        assert any(label.startswith(said) for label in labels)
    ids = [attributes["id"] for _, attributes in full.found if "id" in attributes]
    assert len(ids) == len(set(ids))


def test_nothing_is_asked_of_the_network(full):
    for tag, attributes in full.found:
        assert tag not in {"script", "iframe", "object", "base", "form"}
        for name in {"src", "href", "srcset", "action", "data"} & set(attributes):
            assert re.match("#|data:", attributes[name])
        assert "url(http" not in attributes.get("style", "")
        assert not any(name.startswith("on") for name in attributes)


def test_numbers_of_the_folder_are_on_the_page(full):
    text = full.text
    assert "the linear probe on scenes reaches 90.0 % accuracy, 50.0 points above random" in text
    assert "and 30.0 points above the best of pixels." in text
    assert "finished" in text
    assert "6 training examples were skipped" in text  # by both processes, none of evaluations
    assert "below its ceiling" in text


def test_hostile_text_stays_text(full):
    assert full.text.count(HOSTILE) >= 3  # a reason, a note, a row of a table


def test_the_page_is_small(tmp_path):
    assert write_report(write_run_folder(tmp_path / "run")).stat().st_size < 400_000


def test_a_run_that_logged_nothing_says_what_is_missing(tmp_path):
    config = tiny_config(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps(config.to_dict()))
    text = text_of(write_report(tmp_path))
    for said in (
        "not begun No update of 6 was logged yet.",
        "No curve yet: metrics.jsonl has 0 rows",
        f"Nothing was scored yet. To score the newest checkpoint: tvdim evaluate {tmp_path} --ta",
        f"Not scored yet. For five bounds with their intervals: tvdim evaluate {tmp_path} --tasks",
        "need the model and the data:",
        "No time was logged",
        "the run has no starts.jsonl",
    ):
        assert said in text


def test_a_stopped_run_says_how_far_it_came(tmp_path):
    folder = write_run_folder(tmp_path / "run", train__num_steps=60)
    for path in (folder / "evals").iterdir():
        path.unlink()
    assert "unfinished: update 6 of 60 After 6 of 60 updates, nothing was scored yet." in text_of(
        write_report(folder)
    )


def test_a_run_without_text_asks_for_none(tmp_path):
    folder = write_run_folder(tmp_path / "run", objective__text_weight=0.0)
    (folder / "evals" / "mi_scenes.json").unlink()
    assert "This run has no texts, so there is no information" in text_of(write_report(folder))


def test_damaged_files_are_named_and_the_rest_is_there(tmp_path):
    folder = write_run_folder(tmp_path / "run")
    (folder / "evals" / "knn_scenes.json").write_text('{"task": "knn"')
    (folder / "evals" / "mine.json").write_text("[]")
    with (folder / "metrics.jsonl").open("a") as file:
        file.write('{"step": 7, "train/lo')
    text = text_of(write_report(folder))
    assert "evals/knn_scenes.json cannot be read" in text
    assert "evals/mine.json cannot be read" in text
    assert "reaches 90.0 % accuracy" in text


def test_what_else_is_to_be_shown_and_said(tmp_path):
    section = Section("mine", "A gallery", "of my own")
    path = write_report(
        write_run_folder(tmp_path / "run"), galleries=lambda: [section], warnings=["it failed"]
    )
    assert "it failed" in text_of(path)
    assert "A gallery of my own" in text_of(path)
    assert "need the model" not in text_of(path)


def test_no_run(tmp_path):
    with pytest.raises(ConfigError, match="no run in"):
        write_report(tmp_path)


def test_another_file(tmp_path):
    folder = write_run_folder(tmp_path / "run")
    assert write_report(folder, tmp_path / "new" / "page.html") == tmp_path / "new" / "page.html"
    assert not (folder / "report.html").exists()


def test_a_run_ends_with_its_report_and_knows_its_start(tiny_run):
    workdir, printed = tiny_run
    assert f"report in {workdir / 'report.html'} (" in printed
    (start,) = map(json.loads, (workdir / "starts.jsonl").read_text().splitlines())
    text = text_of(workdir / "report.html")
    assert start["data"]["digest"] in text
    assert f"hash of what is trained on {start['data']['digest']}" in text
    assert "scenes, 64 images" in text
    assert "compiling" in text
    page = Elements((workdir / "report.html").read_text(encoding="utf-8"))
    assert page.open == []
    ids = [each["id"] for each in page.of("section")]
    assert {"maps", "retrieval", "neighbours"} <= set(ids)
    assert ids[:2] + ids[-3:] == ["curves", "scores", "information", "timing", "settings"]
    assert (workdir / "report.html").stat().st_size < 10_000_000
