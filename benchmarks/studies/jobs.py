"""The jobs of a study: which there are, which are done, and how the others are run."""

import argparse
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.studies.records import Record, check_fields, read_records, write_record
from benchmarks.studies.tables import write_report


class Job(NamedTuple):
    """One arm and seed on one set, and where its record goes."""

    name: str
    arm: str
    seed: int
    path: Path

    def __str__(self) -> str:
        """Such as "scenes/global_dv seed 0"."""
        return f"{self.name}/{self.arm} seed {self.seed}"


def add_arguments(parser: argparse.ArgumentParser, results: Path) -> None:
    """The words that every study knows.

    Args:
      parser: gets them.
      results: default folder of the records.
    """
    parser.add_argument("--only", default="", help="words, by commas: jobs named with one of them")
    parser.add_argument("--seeds", type=int, default=3, help="runs of each arm; %(default)s")
    parser.add_argument("--steps", type=int, help="updates of each arm; default: that of the set")
    parser.add_argument("--out", type=Path, default=results, help="folder of the JSONs")
    parser.add_argument("--report", type=Path, help="page for the tables; nothing is trained")


@contextmanager
def as_usage_errors(parser: argparse.ArgumentParser) -> Iterator[None]:
    """ValueErrors as one line of the parser and an exit."""
    try:
        yield
    except ValueError as error:
        parser.error(str(error))


def report_or_run(
    parser: argparse.ArgumentParser,
    args: argparse.Namespace,
    study: str,
    report: Callable[[Sequence[Record]], str],
    run_study: Callable[[argparse.ArgumentParser, argparse.Namespace], None],
) -> None:
    """Writes the page that `--report` names, or runs the study; then prints its tables.

    Args:
      parser: told what is wrong with the page or the records.
      args: the words of `add_arguments`.
      study: see `write_report`.
      report: records -> Markdown.
      run_study: trains and scores what is missing.
    """
    if args.report:
        with as_usage_errors(parser):
            runs = read_records(args.out)
            write_report(args.report, study, runs, report(runs))
    else:
        run_study(parser, args)
    print(report(read_records(args.out)))


def choose(jobs: Iterable[Job], args: argparse.Namespace, example: Job, hint: str) -> list[Job]:
    """The jobs that `--only` names; all for "".

    Args:
      jobs: of the study.
      args: the words of `add_arguments`.
      example: a job that there could be.
      hint: what else may be missing when there is none.

    Raises:
      ValueError: there is no such job.
    """
    words = [re.escape(word.strip()) for word in args.only.split(",") if word.strip()]
    # A number in a word is a whole number: "seed 1" is not part of "seed 10".
    wanted = re.compile("|".join(rf"{word}(?!(?<=\d)\d)" for word in words))
    chosen = [job for job in jobs if wanted.search(str(job))]
    if not chosen:
        raise ValueError(
            f"--only: got {args.only!r} and {args.seeds} seeds, wanted a part of a name such as "
            f"{example}; {hint}"
        )
    return chosen


def missing(jobs: Sequence[Job], fields_of: Callable[[Job], Mapping[str, Any]]) -> list[Job]:
    """The jobs without a record, and a line with their number.

    Args:
      jobs: of the study, or some of them.
      fields_of: the config fields of a job that are not at their defaults.

    Raises:
      ValueError: a record is one of other fields.
    """
    todo = [job for job in jobs if not job.path.exists()]
    for job in jobs:
        if job.path.exists():
            check_fields(job.path, fields_of(job))
    if jobs:
        say(f"{len(jobs)} runs, {len(jobs) - len(todo)} of them done before")
    return todo


def run_all(todo: Sequence[Job], run: Callable[[Job], Record]) -> None:
    """Runs jobs in their order and writes their records; a line each, with the time left."""
    start = time.perf_counter()
    for count, job in enumerate(todo, start=1):
        say(f"{job}: {count} of {len(todo)}")
        write_record(job.path, run(job))
        left = (time.perf_counter() - start) / count * (len(todo) - count)
        say(f"{job}: done; about {left / 60:.0f} min left for the other {len(todo) - count}")


def say(line: str) -> None:
    """Prints at once, also into a file."""
    print(line, flush=True)
