"""`tvdim evaluate`: the tasks of a run again, from its newest checkpoint."""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from absl import logging
from rich.console import Console

from tvdim_jax.experiment.summary import evaluate_run
from tvdim_jax.experiment.tasks import TASK_OF

_WIDTH = max(map(len, TASK_OF))
_TASKS = "\n".join(f"  {name:<{_WIDTH}}  {task.does}" for name, task in TASK_OF.items())
_DESCRIPTION = f"""\
Score the newest checkpoint of a run beside random initialisation and pixels.
Any field eval.* of tvdim_jax/config/schema.py can be set with --config.eval.FIELD=VALUE, and
--config.data.source=KIND with --data takes data of another kind.

tasks:
{_TASKS}

example:
  tvdim evaluate runs/demo --tasks knn,pointing --json
  tvdim evaluate runs/mimic_cxr_lmi --split test --tasks findings --config.eval.uncertain=positive
  tvdim evaluate runs/local --against runs/global --tasks findings
  tvdim evaluate runs/coco_srcl --config.data.source=karpathy --data FLICKR30K --split test \
      --tasks retrieval,reranking --config.eval.num_test_examples=1000
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
    parser.add_argument(
        "--split",
        help="part to score, such as the whole of test; a wrong one lists those there are",
    )
    parser.add_argument("--data", metavar="DIR", default="", help="other data of the same kind")
    parser.add_argument(
        "--against",
        metavar="RUN2",
        type=Path,
        help="a run scored on the same images before: differences with their intervals",
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of the tables")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace, overrides: Sequence[str]) -> int:
    """Runs the verb; see `tvdim_jax.cli.entry.main` for the exit codes."""
    logging.set_verbosity(logging.WARNING)
    split = [f"--config.eval.split={args.split}"] if args.split else []
    rows = evaluate_run(
        Path(args.workdir),
        tuple(args.tasks.split(",")) if args.tasks else None,
        Console(quiet=args.json),
        overrides=[*overrides, *split],
        data_path=args.data,
        against=args.against,
    )
    if args.json:
        Console(soft_wrap=True).print_json(json.dumps(rows))
    return 0
