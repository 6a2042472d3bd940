"""The writers of a config in a run folder: which are opened, and that a kill doubles nothing."""

import csv
import io
import sys

import jax
import pytest
from rich.console import Console

from tests.reference.tiny_run import tiny_config
from tvdim_jax.config import ConfigError
from tvdim_jax.experiment.run_folder import metrics_path, metrics_table_path, tensorboard_path
from tvdim_jax.experiment.writers import check_writers, open_evaluation_log, open_log
from tvdim_jax.train.metrics import read_rows

BOTH = "('csv','tensorboard')"
QUIET = Console(quiet=True)


def test_the_writers_are_those_of_the_config(tmp_path):
    for index, (names, wanted) in enumerate(
        (("()", []), ("('csv',)", ["metrics.csv"]), (BOTH, ["metrics.csv", "tensorboard"]))
    ):
        workdir = tmp_path / str(index)
        workdir.mkdir()
        with open_log(tiny_config(workdir, train__writers=names), 0, QUIET) as log:
            log.append(1, {"train/loss": 2.0})
        found = sorted(path.name for path in workdir.iterdir())
        assert found == sorted(["metrics.jsonl", *wanted])
        assert read_rows(metrics_path(workdir)) == [{"step": 1, "train/loss": 2.0}]


def test_a_run_that_goes_on_writes_no_value_twice(tmp_path):
    config = tiny_config(tmp_path, train__writers=BOTH)
    with open_log(config, 0, QUIET) as log:
        for step in (1, 2, 3):
            log.append(step, {"train/loss": float(step)})
        log.append(2, {"eval/knn": 0.5})
    (first,) = tensorboard_path(tmp_path).iterdir()
    with open_log(config, 2, QUIET) as log:
        log.append(2, {"eval/knn": 0.5})  # the checkpoint is of step 2, so it is scored again
        log.append(3, {"train/loss": 3.0})
    with metrics_table_path(tmp_path).open(newline="") as file:
        assert [row["step"] for row in csv.DictReader(file)] == ["1", "2", "3"]
    (second,) = set(tensorboard_path(tmp_path).iterdir()) - {first}
    assert first.read_bytes().count(b"eval/knn") == 1
    assert second.read_bytes().count(b"eval/knn") == 0
    assert second.read_bytes().count(b"train/loss") == 1


def test_an_evaluation_reaches_the_writers_of_a_finished_run_alone(tmp_path):
    """Of one that goes on elsewhere it would take back what that has written since."""
    config = tiny_config(tmp_path, train__writers=BOTH)
    with open_log(config, 0, QUIET) as log:
        for step in (1, 2):
            log.append(step, {"train/loss": float(step)})
        log.append(2, {"eval/knn": 0.5})
        with open_evaluation_log(config, 1, QUIET, finished=False) as other:
            other.append(1, {"eval/mi": 2.5})
    (first,) = tensorboard_path(tmp_path).iterdir()
    table = metrics_table_path(tmp_path)
    assert "eval/mi" not in table.read_text()
    with open_evaluation_log(config, 2, QUIET, finished=True) as log:
        log.append(2, {"eval/knn": 0.75})  # of more images, say
    (second,) = set(tensorboard_path(tmp_path).iterdir()) - {first}
    assert second.read_bytes().count(b"eval/knn") == 1
    with table.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["step"], row["train/loss"]) for row in rows] == [("1", "1.0"), ("2", "2.0")]
    assert (rows[0]["eval/mi"], rows[1]["eval/knn"]) == ("2.5", "0.75")


def test_only_the_first_process_writes(tmp_path, monkeypatch):
    monkeypatch.setattr(jax, "process_index", lambda: 1)
    with open_log(tiny_config(tmp_path, train__writers=BOTH), 0, QUIET):
        assert list(tmp_path.iterdir()) == []


def test_one_that_cannot_be_opened_is_said_and_the_run_goes_on(tmp_path):
    tensorboard_path(tmp_path).write_text("a file in the way")
    console = Console(file=io.StringIO(), width=300)
    with open_log(tiny_config(tmp_path, train__writers=BOTH), 0, console) as log:
        log.append(1, {"train/loss": 2.0})
    assert "warning: the writer 'tensorboard' failed" in console.file.getvalue()
    assert metrics_table_path(tmp_path).read_text() == "step,train/loss\n1,2.0\n"


def test_a_missing_package_is_an_error_of_the_config(monkeypatch):
    check_writers(tiny_config(train__writers="('csv',)"))
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(ConfigError) as error:
        check_writers(tiny_config(train__writers="('csv','wandb')"))
    assert str(error.value).startswith("config.train.writers: got 'wandb' without its package")
    assert "pip install wandb" in str(error.value)
