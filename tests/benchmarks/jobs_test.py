"""What all studies do with their command line."""

import argparse
from pathlib import Path

import pytest

from benchmarks.studies import jobs
from benchmarks.studies.jobs import Job, add_arguments, choose, report_or_run

JOBS = [Job("scenes", arm, seed, Path("unused")) for arm in ("local", "global") for seed in (0, 1)]


@pytest.fixture
def parser():
    parser = argparse.ArgumentParser(prog="study")
    add_arguments(parser, Path("unused"))
    return parser


def test_words_choose_jobs_and_none_is_an_error(parser):
    def chosen(*words):
        found = choose(JOBS, parser.parse_args([*words]), JOBS[0], "more needs --captions DIR")
        return [*map(str, found)]

    assert chosen() == [*map(str, JOBS)]
    assert chosen("--only", "global,local seed 1") == [
        "scenes/local seed 1",
        "scenes/global seed 0",
        "scenes/global seed 1",
    ]
    assert chosen("--only", "global seed 0, ") == ["scenes/global seed 0"]
    assert chosen("--only", "seed") == chosen()
    tuning = Job("scenes", "tuned2", 10, Path("unused"))
    args = parser.parse_args(["--only", "seed 1,tune"])
    assert choose([*JOBS[:2], tuning], args, tuning, "") == [JOBS[1], tuning]
    args = parser.parse_args(["--only", "seed 1"])
    assert choose([*JOBS[:2], tuning], args, tuning, "") == [JOBS[1]]
    with pytest.raises(ValueError, match="--only") as error:
        chosen("--only", "nothing", "--seeds", "5")
    assert str(error.value) == (
        "--only: got 'nothing' and 5 seeds, wanted a part of a name such as scenes/local seed 0; "
        "more needs --captions DIR"
    )


def test_a_page_is_written_or_the_study_run_and_both_print(parser, tmp_path, monkeypatch, capsys):
    ran, page = [], tmp_path / "page.md"
    page.write_text("<!-- name: begin -->\n<!-- name: end -->\n")
    monkeypatch.setattr(jobs, "read_records", lambda folder: [{"arm": "local"}])

    def call(*words):
        args = parser.parse_args([*words])
        report_or_run(
            parser, args, "name", lambda runs: f"{len(runs)} run", lambda *_: ran.append(0)
        )
        return capsys.readouterr().out

    assert call("--report", str(page)) == "1 run\n"
    assert not ran
    assert page.read_text() == "<!-- name: begin -->\n1 run\n<!-- name: end -->\n"
    assert call() == "1 run\n"
    assert ran == [0]
    page.write_text("no markers")
    with pytest.raises(SystemExit):
        call("--report", str(page))
    assert "wanted a page with the lines <!-- name: begin -->" in capsys.readouterr().err
