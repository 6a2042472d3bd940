"""The table, the JSON files and the row that marks the end of a run."""

import io
import json

import pytest
from rich.console import Console

from tests.reference.tiny_run import tiny_config
from tvdim_jax.config import ConfigError
from tvdim_jax.experiment import summary
from tvdim_jax.experiment.data import make_splits
from tvdim_jax.experiment.evaluation import Evaluation
from tvdim_jax.experiment.summary import (
    evaluate_and_report,
    evaluate_run,
    evaluation_row,
    is_finished,
    mark_finished,
    results_table,
)
from tvdim_jax.experiment.tasks import Outcome
from tvdim_jax.train.metrics import append_row, read_rows

RETRIEVAL = {
    "metrics": {
        "image_to_text_R@1": 0.1,
        "image_to_text_R@10": 0.2,
        "text_to_image_R@1": 0.3,
        "text_to_image_R@10": 0.4,
    },
    "chance": {
        "image_to_text_R@1": 0.01,
        "image_to_text_R@10": 0.02,
        "text_to_image_R@1": 0.03,
        "text_to_image_R@10": 0.04,
    },
    "num_images": 24,
}


def probe(value):
    return {"metrics": {"mean_auc": value}, "penalty": 1.0}


def lines_of(table):
    """The table as words, row by row."""
    console = Console(file=io.StringIO(), width=120)
    console.print(table)
    return [line.split() for line in console.file.getvalue().splitlines() if line.strip()]


def test_table_cells():
    rows = {
        "trained": {"linear_probe": probe(0.876), "retrieval": RETRIEVAL},
        "random initialisation": {"linear_probe": probe(0.5), "retrieval": RETRIEVAL},
        "raw pixels": {"linear_probe": probe(1.0)},
    }
    title, head, subhead, _, *body = lines_of(results_table(rows, "photos"))
    assert " ".join(title) == "photos: frozen features, percent"
    assert " ".join(head) == "linear probe image to text text to image"
    assert " ".join(subhead) == "features mean auc R@10 R@10"
    assert body == [
        ["trained", "87.6", "20.0", "40.0"],
        ["random", "initialisation", "50.0", "20.0", "40.0"],
        ["raw", "pixels", "100.0", "-", "-"],
        ["chance", "-", "2.0", "4.0"],
    ]


def test_table_without_retrieval_has_no_chance():
    rows = {"trained": {"knn": {"metrics": {"accuracy": 0.25}}}}
    assert lines_of(results_table(rows, "scenes"))[-1] == ["trained", "25.0"]


def test_metrics_have_their_full_names():
    outcome = Outcome({"metrics": {"accuracy": 0.5}, "chance": {"x": 1}}, {})
    assert evaluation_row({"knn": outcome}, "scenes") == {"eval/scenes/knn/accuracy": 0.5}


@pytest.fixture
def scored(monkeypatch):
    """`evaluate_and_report` on given results: fn(rows, workdir, missing) -> (rows, text)."""

    def run(results, workdir, missing=None):
        def fake_encoders(config, model, params, variables):
            return (params, variables)

        def fake_evaluate(encoders, splits, tokenizer, config, *, tasks, ledger, with_pixels):
            assert encoders == {
                "trained": ("params", "stats"),
                "random initialisation": ("random params", "random stats"),
            }
            assert with_pixels
            ledger.record("3.jpg", "missing file")
            rows = {
                name: {task: Outcome(result, {}) for task, result in found.items()}
                for name, found in results.items()
            }
            return Evaluation(rows, missing or {})

        monkeypatch.setattr(summary, "make_encoders", fake_encoders)
        monkeypatch.setattr(summary, "evaluate", fake_evaluate)
        config = tiny_config(workdir)
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
        "baselines": {"random initialisation": probe(0.7), "raw pixels": probe(0.6)},
    }
    record = json.loads((tmp_path / "evals" / "retrieval_scenes.json").read_text())
    assert record["metrics"] == RETRIEVAL["metrics"]
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
    rows, text = scored(nothing, tmp_path, {"knn": "the test part of photos has no labels"})
    assert rows == nothing
    assert text == "knn: not scored, as the test part of photos has no labels\n"
    assert not (tmp_path / "evals").exists()
    assert scored(nothing, tmp_path)[1] == ""


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
    assert str(error.value) == ("unknown task 'probe', wanted some of linear_probe,knn,retrieval")


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
