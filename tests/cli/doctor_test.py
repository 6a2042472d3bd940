"""`tvdim doctor`: the table, JSON, exit codes and what it refuses."""

import json

import pytest

from tests.reference.tiny_run import DEMO
from tvdim_jax.cli import doctor, main
from tvdim_jax.experiment.doctor import Check


@pytest.fixture
def examined(monkeypatch):
    """fn(status): what the one check says; returns the words of the calls."""
    calls = []

    def set_status(status):
        def examine(config, **options):
            calls.append((config.data.num_examples, options["with_config"], options["num_pairs"]))
            options["report"]("update 50")
            yield Check("loss", status, "what was found", {"devices": 8})

        monkeypatch.setattr(doctor, "examine", examine)
        return calls

    return set_status


@pytest.mark.parametrize(("status", "code"), [("ok", 0), ("skipped", 0), ("failed", 1)])
def test_table_and_exit_code(examined, capsys, status, code):
    calls = examined(status)
    assert main(["doctor"]) == code
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == ["update 50", f"loss: {status}"]
    assert ["loss", status, "what", "was", "found"] in [line.split() for line in lines]
    assert calls == [(20_000, False, 128)]


def test_json_of_a_config(examined, capsys):
    calls = examined("failed")
    words = [f"--config={DEMO}", "--config.data.num_examples=70", "--pairs", "16", "--json"]
    assert main(["doctor", *words]) == 1
    assert json.loads(capsys.readouterr().out) == [
        {
            "name": "loss",
            "status": "failed",
            "says": "what was found",
            "numbers": {"devices": 8},
        }
    ]
    assert calls == [(70, True, 16)]


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["--pairs", "1"], "error: --pairs is 1 and --steps 1000, wanted at least 2 and at le"),
        (["--config.data.path=x"], "error: --config.data.path=x changes no config; name one wit"),
        (["--config=none.py"], "error: no config file at 'none.py'"),
    ],
)
def test_what_it_refuses(capsys, words, text):
    assert main(["doctor", *words]) == 2
    assert capsys.readouterr().err.startswith(text)


def test_help_has_an_example(capsys):
    with pytest.raises(SystemExit):
        main(["doctor", "--help"])
    out = capsys.readouterr().out
    assert "tvdim doctor --config=configs/demo.py" in out
    assert "exit code: 0 all is well" in out
