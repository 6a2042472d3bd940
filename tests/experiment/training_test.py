"""The parts of a run; whole runs with kills and devices are in main_test."""

import io
import json
import shutil
from types import SimpleNamespace

import numpy as np
import pytest
from rich.console import Console

from tests.reference.tiny_run import tiny_config
from tvdim_jax.data.bad_examples import BadExamples
from tvdim_jax.experiment import training
from tvdim_jax.experiment.evaluation import EvaluationError
from tvdim_jax.experiment.live import Progress
from tvdim_jax.experiment.opening import open_run
from tvdim_jax.experiment.training import run_training
from tvdim_jax.train.alarms import NUM_ROWS, Alarms
from tvdim_jax.train.metric_log import MetricLog
from tvdim_jax.train.metrics import read_rows

METRICS = (
    *("train/loss", "train/loss_over_log_n", "train/nonfinite_steps"),
    *("perf/steps_per_second", "perf/examples_per_second", "perf/data_wait_fraction"),
)
QUIET = Console(quiet=True)
NO_SCORES = {"trained": {}, "random initialisation": {}}


def test_a_finished_run_is_left_as_it_is(tiny_run):
    workdir, _ = tiny_run
    config = tiny_config(workdir, eval__tasks="('knn','retrieval')", eval__every=4)
    files = {path: path.read_bytes() for path in workdir.rglob("*") if path.is_file()}
    console = Console(file=io.StringIO(), width=300)
    assert run_training(config, console)
    assert f"the run in {workdir} is finished: nothing to do" in console.file.getvalue()
    assert {path: path.read_bytes() for path in workdir.rglob("*") if path.is_file()} == files


def test_a_run_killed_in_its_evaluation_only_evaluates(tiny_run, tmp_path, monkeypatch):
    workdir = tmp_path / "run"
    shutil.copytree(tiny_run[0], workdir)
    metrics = workdir / "metrics.jsonl"
    rows = [line for line in metrics.read_text().splitlines() if "run/finished" not in line]
    metrics.write_text("\n".join(rows) + "\n")
    asked = []
    monkeypatch.setattr(
        training, "evaluate_and_report", lambda *_, **words: asked.append(words) or NO_SCORES
    )
    monkeypatch.setattr(training, "_train", lambda *_, **__: pytest.fail("no update was left"))
    config = tiny_config(workdir, eval__tasks="('knn','retrieval')", eval__every=4)
    assert run_training(config, QUIET)
    assert [(words["step"], words["tasks"]) for words in asked] == [(6, ("knn", "retrieval"))]


def test_an_evaluation_that_fails_at_the_end_leaves_its_reason(tiny_run, tmp_path, monkeypatch):
    workdir = tmp_path / "run"
    shutil.copytree(tiny_run[0], workdir)
    rows = (workdir / "metrics.jsonl").read_text().splitlines()
    rows = [line for line in rows if "run/finished" not in line]
    (workdir / "metrics.jsonl").write_text("\n".join(rows) + "\n")

    def refuse(*_, **__):
        raise EvaluationError("cannot evaluate: no labels")

    monkeypatch.setattr(training, "evaluate_and_report", refuse)
    with pytest.raises(EvaluationError):
        run_training(tiny_config(workdir, eval__tasks="('knn','retrieval')", eval__every=4), QUIET)
    assert "the run failed: cannot evaluate: no labels" in (workdir / "report.html").read_text()


def test_an_evaluation_that_fails_in_training_does_not_end_the_run(tmp_path, monkeypatch):
    console = Console(file=io.StringIO(), width=300)
    run = open_run(tiny_config(tmp_path / "run"), console)

    def refuse(*_, **__):
        raise EvaluationError("cannot evaluate: no labels")

    monkeypatch.setattr(training, "make_encoders", lambda *_: None)
    monkeypatch.setattr(training, "evaluate", refuse)
    state = SimpleNamespace(params={}, variables={"batch_stats": {}})
    training._evaluate_in_training(run, 4, state, log=None)
    assert console.file.getvalue() == "step 4: cannot evaluate: no labels\n"
    assert not (run.workdir / "metrics.jsonl").exists()


def test_a_run_logs_every_step_and_counts_its_bad_examples(tiny_run):
    workdir, output = tiny_run
    start, *rows = read_rows(workdir / "metrics.jsonl")
    assert start["step"] == 0  # eval.every also scores what training starts from
    assert "train/loss" not in start
    assert [row["step"] for row in rows] == [1, 2, 3, 4, 5, 6]
    assert {row["data/bad_fraction"] for row in rows} == {0.0}
    assert all(np.isfinite(row["train/loss"]) for row in rows)
    digits = output.split("state after step 6: digest ")[1].split()[0]
    assert len(digits) == 16
    words = " ".join(output.split())
    assert "updates 6 of 8 images each time " in words
    assert "bad examples none scores trained random initialisation knn, accuracy" in words
    assert json.loads((workdir / "config.json").read_text())["train"]["num_steps"] == 6
    assert sorted(path.name for path in (workdir / "checkpoints").iterdir()) == ["3", "6"]


def test_a_loss_that_stays_at_chance_is_said_once(tmp_path):
    console = Console(file=io.StringIO(), width=300)
    run = SimpleNamespace(
        config=tiny_config(), splits=SimpleNamespace(train=range(64)), console=console
    )
    log = MetricLog(tmp_path / "metrics.jsonl", {}, console.print)
    alarms, row = Alarms(), dict.fromkeys(METRICS, 1.0)
    for step in range(1, 2 * NUM_ROWS):
        training._log(
            run,
            step,
            row,
            ledger=BadExamples(),
            alarms=alarms,
            log=log,
            progress=Progress(0, 64),
        )
    lines = console.file.getvalue().splitlines()
    assert len(lines) == 2 * NUM_ROWS  # a line each, and one more
    assert lines[NUM_ROWS].startswith("warning: the loss of images and texts has been within 2 %")
    assert len(read_rows(tmp_path / "metrics.jsonl")) == 2 * NUM_ROWS - 1
