"""`tvdim evaluate`: the tasks of a run again, from its newest checkpoint."""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from absl import logging
from rich.console import Console

from tvdim_jax.config import TASKS
from tvdim_jax.experiment.summary import evaluate_run

_DESCRIPTION = f"""\
Score the newest checkpoint of a run beside random initialisation and pixels.
Tasks: {", ".join(TASKS)}.

example:
  tvdim evaluate runs/demo --tasks knn,retrieval --json
"""


def add_parser(verbs: argparse._SubParsersAction) -> None:
    """Adds the verb to the console script."""
    parser = verbs.add_parser(
        "evaluate",
        help="score a run",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("workdir", metavar="RUN", help="the run folder, such as runs/demo")
    parser.add_argument("--tasks", metavar="T1,T2", help="default: those of the run's config")
    parser.add_argument("--json", action="store_true", help="print JSON instead of the table")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace, _: Sequence[str]) -> int:
    """Runs the verb; see `tvdim_jax.cli.entry.main` for the exit codes."""
    logging.set_verbosity(logging.WARNING)
    tasks = tuple(args.tasks.split(",")) if args.tasks else None
    rows = evaluate_run(Path(args.workdir), tasks, Console(quiet=args.json))
    if args.json:
        Console(soft_wrap=True).print_json(json.dumps(rows))
    return 0
