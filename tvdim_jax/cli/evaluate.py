"""`tvdim evaluate`: the tasks of a run again, from its newest checkpoint."""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from absl import logging
from rich.console import Console

from tvdim_jax.config import TASKS, ConfigError, uses_text
from tvdim_jax.data.tokenizer import Tokenizer
from tvdim_jax.experiment import run_folder
from tvdim_jax.experiment.data import make_splits
from tvdim_jax.experiment.inference import restore_trained
from tvdim_jax.experiment.model import make_model
from tvdim_jax.experiment.summary import evaluate_and_report

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
    workdir = Path(args.workdir)
    config = run_folder.read_config(workdir)
    with config.unlocked():
        config.workdir = str(workdir)  # the folder may have been moved
    tasks = tuple(args.tasks.split(",")) if args.tasks else config.eval.tasks
    for task in tasks:
        if task not in TASKS:
            raise ConfigError(f"unknown task {task!r}, wanted some of {','.join(TASKS)}")
    logging.set_verbosity(logging.WARNING)
    splits = make_splits(config)
    tokenizer = None
    if uses_text(config):
        tokenizer = Tokenizer.load(run_folder.tokenizer_path(workdir))
    model = make_model(config, tokenizer.vocab_size if tokenizer else 0)
    params, variables, step = restore_trained(model, workdir)
    rows = evaluate_and_report(
        config,
        splits,
        tokenizer,
        model,
        (params, variables),
        step=step,
        tasks=tasks,
        console=Console(quiet=args.json),
    )
    if args.json:
        Console(soft_wrap=True).print_json(json.dumps(rows))
    return 0
