"""The files, what is printed and the row that marks the end of a run."""

import io
import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from rich.console import Console

from tests.reference.label_table import Table
from tests.reference.tiny_run import tiny_config
from tvdim_jax.config import ConfigError
from tvdim_jax.experiment import summary
from tvdim_jax.experiment.data import Splits, make_splits
from tvdim_jax.experiment.evaluation import Evaluation
from tvdim_jax.experiment.summary import (
    evaluate_and_report,
    evaluate_run,
    evaluation_row,
    is_finished,
    mark_finished,
)
from tvdim_jax.experiment.tasks import TASK_OF, Examples, Outcome
from tvdim_jax.train.metric_log import MetricLog
from tvdim_jax.train.metrics import append_row, read_rows

RETRIEVAL = {"metrics": {"text_to_image_R@10": 0.4}, "chance": {"text_to_image_R@10": 0.04}}


def probe(value):
    return {"metrics": {"mean_auc": value}, "penalty": 1.0}


def test_metrics_have_their_full_names():
    outcome = Outcome({"metrics": {"accuracy": 0.5}, "chance": {"x": 1}}, {})
    assert evaluation_row({"knn": outcome}, "scenes") == {"eval/scenes/knn/accuracy": 0.5}


@pytest.fixture
def scored(monkeypatch):
    """`evaluate_and_report` on given results: fn(rows, workdir, missing) -> (rows, text)."""

    def run(results, workdir, missing=None, examples=None, **options):
        def fake_encoders(config, model, params, variables):
            return (params, variables)

        def fake_evaluate(encoders, splits, tokenizer, config, **options):
            assert encoders == {
                "trained": ("params", "stats"),
                "random initialisation": ("random params", "random stats"),
            }
            assert options["with_pixels"]
            options["ledger"].record("3.jpg", "missing file")
            rows = {
                name: {
                    task: Outcome(dict(result), (examples or {}).get(task, {}))
                    for task, result in found.items()
                }
                for name, found in results.items()
            }
            return Evaluation(rows, missing or {})

        monkeypatch.setattr(summary, "make_encoders", fake_encoders)
        monkeypatch.setattr(summary, "evaluate", fake_evaluate)
        config = tiny_config(workdir, **{k: options.pop(k) for k in [*options] if "__" in k})
        console = Console(file=io.StringIO(), width=120)

        class FakeModel:
            @staticmethod
            def init(key):
                return ("random params", "random stats")

        rows = evaluate_and_report(
            config,
            make_splits(config),
            None,
            FakeModel,
            ("params", "stats"),
            step=6,
            tasks=("linear_probe", "retrieval"),
            console=console,
            log=MetricLog(workdir / "metrics.jsonl", {}, console.print),
            **options,
        )
        return rows, console.file.getvalue()

    return run


def test_files_hold_the_result_and_the_baselines(scored, tmp_path):
    results = {
        "trained": {"linear_probe": probe(0.9), "retrieval": RETRIEVAL},
        "random initialisation": {"linear_probe": probe(0.7), "retrieval": RETRIEVAL},
        "raw pixels": {"linear_probe": probe(0.6)},
    }
    rows, text = scored(results, tmp_path)
    assert list(rows) == ["trained", "random initialisation", "raw pixels"]
    assert "90.0" in text
    record = json.loads((tmp_path / "evals" / "linear_probe_scenes.json").read_text())
    assert record == {
        "task": "linear_probe",
        "dataset": "scenes",
        "step": 6,
        **probe(0.9),
        "model": "amdim_tiny + text_tiny",
        "pretrained": tmp_path.name,
        "language": "en",
        "baselines": {"random initialisation": probe(0.7), "raw pixels": probe(0.6)},
    }
    record = json.loads((tmp_path / "evals" / "retrieval_scenes.json").read_text())
    assert RETRIEVAL["metrics"].items() < record["metrics"].items()
    assert record["baselines"]["random initialisation"] == RETRIEVAL
    assert list(record["baselines"]) == ["random initialisation"]
    (row,) = read_rows(tmp_path / "metrics.jsonl")
    assert row["step"] == 6
    assert row["eval/scenes/linear_probe/mean_auc"] == 0.9
    assert row["perf/eval_seconds"] > 0
    listed = (tmp_path / "bad_examples.evaluation.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in listed] == [
        {"example_id": "3.jpg", "reason": "missing file"}
    ]


def test_what_was_not_scored_is_said(scored, tmp_path):
    nothing = {"trained": {}, "random initialisation": {}}
    why = {"knn": "the test part of photos has no labels"}
    rows, text = scored(nothing, tmp_path, why)
    assert rows == {**nothing, "not_scored": why}
    assert text == "knn: not scored, as the test part of photos has no labels\n"
    assert not (tmp_path / "evals").exists()
    assert scored(nothing, tmp_path)[1] == ""


def right(share):
    """Single scores of 24 scenes, of which a share is right."""
    scores = (np.arange(24) < 24 * share)[:, None]
    examples = Examples(np.arange(24), ("accuracy",), scores, None, np.ones((24, 1), bool))
    return {"linear_probe": {"global": examples}}


def test_another_run_is_compared_on_the_same_images(scored, tmp_path):
    results = {"trained": {"linear_probe": probe(0.9), "knn": probe(0.5)}}
    one, two = tmp_path / "one", tmp_path / "two"
    one.mkdir()
    with pytest.raises(ConfigError) as error:
        scored(results, one, examples=right(0.75), against=two)
    assert str(error.value) == (
        f"no single scores of linear_probe,retrieval on scenes in '{two}'; score that run on the "
        f"same set first: tvdim evaluate {two} --tasks linear_probe,retrieval, with the same "
        "--data and --split; mi, label_fractions and false_negatives keep none"
    )
    assert not (one / "evals").exists()
    assert not (one / "bad_examples.evaluation.jsonl").exists()  # nothing was read
    two.mkdir()
    scored(results, two, examples=right(0.25))
    assert (two / "evals" / "linear_probe_scenes.npz").exists()
    assert not (two / "evals" / "knn_scenes.npz").exists()
    rows, text = scored(results, one, examples=right(0.75), against=two)
    against = rows["trained"]["linear_probe"]["against"]
    assert against["run"] == str(two)
    assert against["differences"]["global"]["accuracy"]["difference"] == 0.5
    assert "one against two, percent; paired bootstrap" in text
    assert "+50.0" in text
    record = json.loads((one / "evals" / "linear_probe_scenes.json").read_text())
    assert record["against"] == against
    better = {"trained": {"linear_probe": probe(0.95)}}
    with pytest.raises(ConfigError, match=r"nothing to compare with .*: no task keeps single"):
        scored(better, one, against=two)
    record = json.loads((one / "evals" / "linear_probe_scenes.json").read_text())
    assert record["metrics"] == {"mean_auc": 0.95}  # its own results are there


def test_other_data_have_a_name_of_their_own(scored, tmp_path):
    scored({"trained": {"knn": probe(0.9)}}, tmp_path, folder_name="hospital_b")
    assert [path.name for path in (tmp_path / "evals").iterdir()] == ["knn_scenes_hospital_b.json"]
    (row,) = read_rows(tmp_path / "metrics.jsonl")
    assert row["eval/scenes_hospital_b/knn/mean_auc"] == 0.9


def test_a_run_is_finished_once_it_is_marked(tmp_path):
    path = tmp_path / "metrics.jsonl"
    assert not is_finished(tmp_path, 6)
    append_row(path, {"step": 6, "eval/scenes/knn/accuracy": 0.5, "perf/eval_seconds": 1.0})
    assert not is_finished(tmp_path, 6)  # so far only `tvdim evaluate`
    mark_finished(tmp_path, 6)
    assert is_finished(tmp_path, 6)
    assert not is_finished(tmp_path, 7)


def test_evaluate_run_names_an_unknown_task_before_it_opens_the_run(tmp_path):
    with pytest.raises(ConfigError) as error:
        evaluate_run(tmp_path / "none", ("knn", "probe"), Console(quiet=True))
    assert str(error.value) == f"unknown task 'probe', wanted some of {','.join(TASK_OF)}"


@pytest.mark.parametrize(
    ("overrides", "asked"),
    [
        ([], 24),
        (["--config.eval.split=test"], 40),
        (["--config.eval.split=test", "--config.eval.num_test_examples=7"], 7),
    ],
)
def test_of_a_part_for_tests_all_images_are_scored(overrides, asked, monkeypatch):
    config = tiny_config(data__source="mimic_cxr", data__path="x")
    run = SimpleNamespace(config=config, tokenizer=None, model=None, params=0, variables=0, step=1)
    splits = Splits(Table(3), Table(40))
    monkeypatch.setattr(summary, "open_trained", lambda _: run)
    monkeypatch.setattr(summary, "make_splits", lambda _: splits)
    monkeypatch.setattr(summary, "evaluate_and_report", lambda config, *_, **__: config)
    found = evaluate_run(Path("x"), ("knn",), Console(quiet=True), overrides=overrides)
    assert found.eval.num_test_examples == asked


@pytest.mark.parametrize("finished", [True, False])
def test_the_writers_of_a_finished_run_get_its_row(finished, monkeypatch, tmp_path):
    config = tiny_config(tmp_path, train__writers="('csv',)")
    run = SimpleNamespace(config=config, tokenizer=None, model=None, params=0, variables=0, step=6)

    def evaluate_and_report(config, *_, step, log, **__):
        log.append(step, {"eval/scenes/mi/info_nce_nats": 2.5})

    if finished:
        mark_finished(tmp_path, 6)
    monkeypatch.setattr(summary, "open_trained", lambda _: run)
    monkeypatch.setattr(summary, "evaluate_and_report", evaluate_and_report)
    evaluate_run(tmp_path, ("mi",), Console(quiet=True))
    assert read_rows(tmp_path / "metrics.jsonl")[-1]["eval/scenes/mi/info_nce_nats"] == 2.5
    assert (tmp_path / "metrics.csv").exists() == finished


def test_a_scenes_run_reads_no_folder(tiny_run, tmp_path):
    with pytest.raises(ConfigError, match="is on scenes, which lie in no folder"):
        evaluate_run(tiny_run[0], ("knn",), Console(quiet=True), data_path=str(tmp_path))


def test_only_what_the_training_did_not_use_can_be_changed(tiny_run):
    words = ["--config.model.image_size=64"]
    with pytest.raises(ConfigError, match=r"config.model.image_size was fixed by the training"):
        evaluate_run(tiny_run[0], ("knn",), Console(quiet=True), overrides=words)


def test_a_run_writes_what_it_prints(tiny_run):
    """The files of a real run: chance and both baselines beside the score."""
    workdir, output = tiny_run
    record = json.loads((workdir / "evals" / "knn_scenes.json").read_text())
    assert (record["task"], record["dataset"], record["step"]) == ("knn", "scenes", 6)
    assert (record["num_train"], record["num_test"]) == (40, 24)
    assert list(record["baselines"]) == [
        "random initialisation",
        "raw pixels",
        "pixels + gradients",
    ]
    for name, metrics in (
        ("trained", record["metrics"]),
        *((name, each["metrics"]) for name, each in record["baselines"].items()),
    ):
        (line,) = (line for line in output.splitlines() if line.strip().startswith(name))
        assert f"{100 * metrics['accuracy']:.1f}" in line.split()
    rows = {row["step"]: row for row in read_rows(workdir / "metrics.jsonl")}
    assert rows[6]["eval/scenes/knn/accuracy"] == record["metrics"]["accuracy"]
    assert "perf/eval_seconds" in rows[6]
    assert "eval/scenes/retrieval/text_to_image_R@5" in rows[4]  # eval.every
    assert "perf/eval_seconds" not in rows[4]
