"""Exit codes, help and unknown words."""

import pytest

from tests.reference.tiny_run import DEMO
from tvdim_jax.cli import main, train
from tvdim_jax.config import ConfigError
from tvdim_jax.data.errors import BadDataError, DataError
from tvdim_jax.experiment.evaluation import EvaluationError
from tvdim_jax.train.checkpoint import CheckpointError
from tvdim_jax.train.loop import NonFiniteError


def exits(words):
    """Exit code where argparse leaves by itself."""
    with pytest.raises(SystemExit) as left:
        main(words)
    return left.value.code


@pytest.fixture
def train_ends(monkeypatch):
    """fn(result): what `run_training` returns, or raises."""

    def set_result(result):
        def run_training(config, console):
            if isinstance(result, Exception):
                raise result
            return result

        monkeypatch.setattr(train, "run_training", run_training)

    return set_result


@pytest.mark.parametrize(("finished", "code"), [(True, 0), (False, 75)])
def test_finished_and_stopped(train_ends, capsys, finished, code):
    train_ends(finished)
    assert main(["train", f"--config={DEMO}"]) == code
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("error", "code", "text"),
    [
        (ConfigError("wrong field"), 2, "error: wrong field\n"),
        (DataError("no folder"), 2, "error: no folder\n"),
        (CheckpointError("other model"), 2, "error: other model\n"),
        (BadDataError("bad data\n  missing file  3"), 1, "stopped: bad data\n  missing file  3\n"),
        (NonFiniteError("NaN"), 1, "stopped: NaN\n"),
        (EvaluationError("no label"), 1, "stopped: no label\n"),
    ],
)
def test_errors_are_told_on_stderr_without_a_traceback(train_ends, capsys, error, code, text):
    train_ends(error)
    assert main(["train", f"--config={DEMO}"]) == code
    assert capsys.readouterr() == ("", text)


def test_what_we_did_not_foresee_keeps_its_traceback(train_ends):
    train_ends(KeyError("bug"))
    with pytest.raises(KeyError, match="bug"):
        main(["train", f"--config={DEMO}"])


@pytest.mark.parametrize("words", [["train"], ["evaluate"], ["data"], ["data", "prepare"]])
def test_help_shows_an_example(capsys, words):
    assert exits([*words, "--help"]) == 0
    output = capsys.readouterr().out
    example = output.split("example:\n")[1].splitlines()[0].split()
    assert example[: len(words) + 1] == ["tvdim", *words]


def test_help_lists_the_verbs(capsys):
    assert exits(["--help"]) == 0
    output = capsys.readouterr().out
    assert all(f"\n    {verb} " in output for verb in ("train", "evaluate", "data"))


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ([], "the following arguments are required: VERB"),
        (["trian"], "invalid choice: 'trian'"),
        (["train"], "the following arguments are required: --config"),
        (["evaluate"], "the following arguments are required: RUN"),
        (["evaluate", "runs/x", "--seed=1"], "unrecognized arguments: --seed=1"),
        (["evaluate", "runs/x", "runs/y"], "unrecognized arguments: runs/y"),
        (["data"], "the following arguments are required: ACTION"),
        (["data", "prepare", "flickr"], "invalid choice: 'flickr'"),
        (["data", "prepare", "coco", "--to", "x"], "unrecognized arguments: --to x"),
    ],
)
def test_words_that_argparse_refuses(capsys, words, text):
    assert exits(words) == 2
    assert text in capsys.readouterr().err
