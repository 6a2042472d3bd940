"""Twins are trained once, their noise is recorded, and a report says what they reached."""

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from rich.console import Console

from tests.reference.tiny_run import DEMO, tiny_words
from tvdim_jax.config import ConfigError
from tvdim_jax.data.sources.noise import with_caption_noise
from tvdim_jax.experiment import robustness, run_folder
from tvdim_jax.experiment.data import make_splits
from tvdim_jax.experiment.robustness import run_robustness
from tvdim_jax.experiment.summary import mark_finished

LEVELS = (0.0, 0.5)


@pytest.fixture
def trained(monkeypatch):
    """Folders of the twins in the order of their training, which only writes its files."""
    calls = []

    def run_training(config, console):
        workdir = run_folder.open_folder(config)
        calls.append(workdir.name)
        if len(calls) == 3:
            return False
        console.print("step 6/6")
        for task in config.eval.tasks:
            score = {"task": task, "metrics": {"accuracy": 0.1 * len(calls)}}
            run_folder.write_json(run_folder.evaluation_path(workdir, task, "scenes"), score)
        mark_finished(workdir, config.train.num_steps)
        return True

    monkeypatch.setattr(robustness, "run_training", run_training)
    opened = SimpleNamespace(tokenizer=None, model=None, params=None, variables=None, step=6)
    monkeypatch.setattr(robustness, "open_trained", lambda workdir: opened)

    def evaluate_and_report(config, *given, tasks, **options):
        calls.append((Path(config.workdir).name, tasks))

    monkeypatch.setattr(robustness, "evaluate_and_report", evaluate_and_report)
    return calls


def run(words, levels=LEVELS):
    console = Console(width=120)
    with console.capture() as printed:
        record = run_robustness(DEMO, words, levels, console)
    return record, printed.get()


def test_a_stopped_report_goes_on_and_a_finished_one_trains_nothing(trained, tmp_path):
    words = tiny_words(tmp_path, eval__tasks="('knn',)")
    record, printed = run(words)
    assert record is None
    assert trained == ["ranking_noise0", "info_nce_noise0", "similarity_regulated_noise0"]
    assert "6 runs in" in printed
    assert "ranking, 0 % of the captions swapped: 1 of 6 done; about 0 min left" in printed
    assert "model.image amdim_demo" not in printed  # the tiny run names its encoder
    assert "model.embedding_width 256 -> 64" in printed
    assert printed.splitlines()[-1].endswith("stopped and saved; the same command goes on")
    assert not (tmp_path / "robustness.json").exists()
    record, printed = run(words)
    assert trained[3:] == [
        *("similarity_regulated_noise0", "ranking_noise50", "info_nce_noise50"),
        "similarity_regulated_noise50",
    ]
    assert "2 of them done before" in printed
    assert json.loads(json.dumps(record)) == json.loads((tmp_path / "robustness.json").read_text())
    assert record["runs"][3]["results"]["knn"]["metrics"] == {"accuracy": pytest.approx(0.5)}
    assert record["changed"] == {"model.embedding_width": (256, 64)}
    assert (tmp_path / "ranking_noise0" / "log.txt").read_text() == "step 6/6\n"
    assert (tmp_path / "robustness.png").exists()
    assert ["ranking", "50", "50.0"] in [line.split() for line in printed.splitlines()]
    again, _ = run(words)
    assert again == record
    assert len(trained) == 7


def test_other_tasks_are_scored_without_training(trained, tmp_path):
    trained.extend(["first", "second", "third"])  # nothing is stopped
    run(tiny_words(tmp_path, eval__tasks="('knn',)"), (0.0,))
    del trained[:]
    run(tiny_words(tmp_path, eval__tasks="('retrieval',)"), (0.0,))
    losses = ("ranking", "info_nce", "similarity_regulated")
    assert trained == [(f"{loss}_noise0", ("retrieval",)) for loss in losses]
    run(tiny_words(tmp_path, eval__tasks="('retrieval',)"), (0.0,))
    assert len(trained) == 3


def test_twins_of_other_fields_are_refused_even_where_they_are_finished(trained, tmp_path):
    trained.extend(["first", "second", "third"])
    words = tiny_words(tmp_path, eval__tasks="('knn',)")
    run(words, (0.0,))
    with pytest.raises(ConfigError, match=r"another config \(optimizer.b1: 0.8 -> 0.5\); go on"):
        run([*words, "--config.optimizer.b1=0.5"], (0.0,))


def test_whose_captions_each_row_has(trained, tmp_path):
    words = tiny_words(tmp_path, eval__tasks="('knn',)", data__noise_seed=3)
    trained.extend(["first", "second", "third"])
    record, _ = run(words)
    splits = make_splits(robustness.make_twins(DEMO, words, (0.0,))[0].config)
    drawn = with_caption_noise(splits.train, 0.5, seed=3).noise_index
    recorded = np.load(tmp_path / "noise_index_50.npy", allow_pickle=False)
    np.testing.assert_array_equal(recorded, drawn)
    np.testing.assert_array_equal(np.load(tmp_path / "noise_index_0.npy"), np.arange(64))
    last = record["runs"][-1]
    assert (last["noise_index"], last["num_swapped"]) == ("noise_index_50.npy", 32)
    with pytest.raises(ConfigError) as error:
        run(tiny_words(tmp_path, eval__tasks="('knn',)", data__noise_seed=4))
    assert str(error.value) == (
        f"{tmp_path / 'noise_index_50.npy'} was recorded for other data or another "
        "data.noise_seed; take another folder with --config.workdir=DIR"
    )


@pytest.mark.slow
def test_two_levels_from_end_to_end(tmp_path):
    words = tiny_words(tmp_path, eval__tasks="('knn','retrieval')")
    record, printed = run(words)
    assert len(record["runs"]) == 6
    for each in record["runs"]:
        assert set(each["results"]) == {"knn", "retrieval"}
        rows = (Path(each["run"]) / "metrics.jsonl").read_text()
        assert '"run/finished": 1' in rows
    weights = {
        (tmp_path / name / "log.txt").read_text().split("digest ")[1].split()[0]
        for name in ("ranking_noise0", "ranking_noise50", "info_nce_noise50")
    }
    assert len(weights) == 3
    assert (tmp_path / "robustness.png").exists()
    before = record
    record, printed = run(words)
    assert record == before
    assert "6 of them done before" in printed
