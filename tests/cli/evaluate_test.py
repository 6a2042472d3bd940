"""`tvdim evaluate`: the scores of a run again, as a table or as JSON."""

import json
import shutil
from pathlib import Path

import pytest

from tvdim_jax.cli import evaluate, main
from tvdim_jax.experiment.tasks import TASK_OF


@pytest.fixture
def asked(monkeypatch):
    """What the verb asks `evaluate_run` for; it gives one row back."""
    calls = []

    def evaluate_run(workdir, tasks, console, *, overrides, data_path, against):
        calls.append((str(workdir), tasks, overrides, data_path, against))
        console.print("the table")
        return {"trained": {"knn": {"metrics": {"accuracy": 0.5}}}}

    monkeypatch.setattr(evaluate, "evaluate_run", evaluate_run)
    return calls


def test_the_table_or_json(asked, capsys):
    assert main(["evaluate", "runs/x"]) == 0
    assert capsys.readouterr().out == "the table\n"
    assert main(["evaluate", "runs/x", "--tasks", "knn,retrieval", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {
        "trained": {"knn": {"metrics": {"accuracy": 0.5}}}
    }
    words = ["evaluate", "x", "--split", "test", "--data", "d", "--against", "y"]
    assert main([*words, "--config.eval.uncertain=positive"]) == 0
    assert asked == [
        ("runs/x", None, [], "", None),
        ("runs/x", ("knn", "retrieval"), [], "", None),
        (
            "x",
            None,
            ["--config.eval.uncertain=positive", "--config.eval.split=test"],
            "d",
            Path("y"),
        ),
    ]


def test_help_has_a_line_for_each_task(capsys):
    with pytest.raises(SystemExit):
        main(["evaluate", "--help"])
    lines = capsys.readouterr().out.splitlines()
    for name, task in TASK_OF.items():
        assert any(line.split() == [name, *task.does.split()] for line in lines)
    assert any(line.startswith("  tvdim evaluate runs/demo") for line in lines)


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("--split=test", "error: config.eval.split is 'test', wanted one of unseen, the parts of"),
        ("--config.eval.taks=knn", "error: unknown config field 'eval.taks'; the nearest is"),
        ("--config.seed=2", "error: config.seed was fixed by the training, wanted one of eval."),
        ("--config.eval.unmentioned=positive", "error: config.eval.unmentioned is 'positive', wan"),
        ("--data=x", "is on scenes, which lie in no folder: leave --data out"),
    ],
)
def test_what_cannot_be_changed(tiny_run, capsys, word, message):
    assert main(["evaluate", str(tiny_run[0]), word]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("tasks", "wrong"), [("probe", "'probe'"), ("knn,", "''"), ("knn,Retrieval", "'Retrieval'")]
)
def test_a_task_of_another_name(tiny_run, capsys, tasks, wrong):
    assert main(["evaluate", str(tiny_run[0]), "--tasks", tasks]) == 2
    assert capsys.readouterr().err == (
        f"error: unknown task {wrong}, wanted some of {','.join(TASK_OF)}\n"
    )


def test_no_run(tmp_path, capsys):
    assert main(["evaluate", str(tmp_path)]) == 2
    assert capsys.readouterr().err == (
        f"error: no run in '{tmp_path}' (no config.json); name the folder of a run\n"
    )


def test_a_moved_run_scores_as_at_the_end_of_its_training(tiny_run, tmp_path, capsys):
    """JSON and nothing else; the files are written anew where the run is now."""
    workdir = tmp_path / "moved"
    shutil.copytree(tiny_run[0], workdir)
    shutil.rmtree(workdir / "evals")
    assert main(["evaluate", str(workdir), "--tasks", "retrieval", "--json"]) == 0
    output = capsys.readouterr()
    rows = json.loads(output.out)
    assert output.err == ""
    assert list(rows) == ["trained", "random initialisation"]
    old = json.loads((tiny_run[0] / "evals" / "retrieval_scenes.json").read_text())
    assert rows["trained"]["retrieval"]["metrics"].items() <= old["metrics"].items()
    new = json.loads((workdir / "evals" / "retrieval_scenes.json").read_text())
    assert new == old | {"pretrained": "moved"}
    names = sorted(path.name for path in (workdir / "evals").iterdir())
    assert names == ["retrieval_scenes.json", "retrieval_scenes.npz"]


def test_boxes_of_scenes_and_what_scenes_lack(tiny_run, tmp_path, capsys):
    workdir = tmp_path / "copy"
    shutil.copytree(tiny_run[0], workdir)
    assert main(["evaluate", str(workdir), "--tasks", "pointing,findings"]) == 0
    printed = capsys.readouterr().out
    assert "findings: not scored, as each image of scenes has one class" in printed
    record = json.loads((workdir / "evals" / "pointing_scenes.json").read_text())
    assert list(record["baselines"]) == ["random initialisation"]
    shares = record["shares"]
    assert 0.05 < shares["chance"] < 0.3
    (line,) = (line for line in printed.splitlines() if line.strip().startswith("the named object"))
    assert line.split()[3] == f"{100 * shares['hits']:.1f}"
    assert (workdir / "evals" / "pointing_scenes.npz").exists()


def test_nothing_to_score_is_a_failure(tiny_run, tmp_path, capsys):
    workdir = tmp_path / "copy"
    shutil.copytree(tiny_run[0], workdir)
    assert main(["evaluate", str(workdir), "--tasks", "findings,vqa"]) == 1
    printed = capsys.readouterr().out
    assert printed.count("not scored, as") == 2


@pytest.fixture
def trained(monkeypatch):
    """What the verb asks `run_robustness` for; a report, or None where the run is stopped."""
    calls = []

    def run_robustness(path, overrides, levels, console):
        calls.append((path, overrides, levels))
        return {"runs": []} if len(calls) < 3 else None

    monkeypatch.setattr(evaluate, "run_robustness", run_robustness)
    return calls


def test_robustness_of_a_config(trained, capsys):
    words = ["evaluate", "configs/x.py", "--tasks", "robustness"]
    assert main(words) == 0
    assert main([*words, "--levels", "0,.25", "--config.seed=2", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"runs": []}
    assert main([*words, "--split", "test"]) == 75
    assert trained == [
        ("configs/x.py", [], (0.0, 0.2, 0.4, 0.6)),
        ("configs/x.py", ["--config.seed=2"], (0.0, 0.25)),
        ("configs/x.py", ["--config.eval.split=test"], (0.0, 0.2, 0.4, 0.6)),
    ]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["runs/x", "--levels", "0,.2"], "--levels is '0,.2', which goes with --tasks robustness"),
        (["a.py", "--tasks", "robustness,knn"], "--tasks is 'robustness,knn', wanted robustness a"),
        (["a.py", "--tasks", "robustness", "--data", "x"], "--data goes with a run, not with --ta"),
        (["a.py", "--tasks", "robustness", "--against", "x"], "--against goes with a run, not wit"),
        (["a.py", "--tasks", "robustness", "--levels", "0;1"], "--levels is '0;1', wanted numbers"),
        (["a.py", "--tasks", "robustness"], "no config file at 'a.py'"),
        ([".", "--tasks", "robustness"], "robustness trains small twins of a config file, got the"),
    ],
)
def test_what_robustness_refuses(capsys, words, message):
    assert main(["evaluate", *words]) == 2
    assert capsys.readouterr().err.startswith(f"error: {message}")


def test_help_shows_robustness(capsys):
    with pytest.raises(SystemExit):
        main(["evaluate", "--help"])
    assert "tvdim evaluate configs/demo.py --tasks robustness --levels 0,.2,.4,.6" in (
        capsys.readouterr().out
    )
