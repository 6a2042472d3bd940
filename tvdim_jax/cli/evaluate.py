"""`tvdim evaluate`: the tasks of a run again, or how the objectives of a config bear noise."""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from absl import logging
from rich.console import Console

from tvdim_jax.config import ConfigError
from tvdim_jax.experiment.robustness import LEVELS, run_robustness
from tvdim_jax.experiment.summary import evaluate_run
from tvdim_jax.experiment.tasks import TASK_OF

ROBUSTNESS = "robustness"  # no task of a run: it trains
NOTHING_SCORED = 1
STOPPED_AND_SAVED = 75  # as of train: run the same command again
_WIDTH = max(map(len, TASK_OF))
_TASKS = "\n".join(f"  {name:<{_WIDTH}}  {task.does}" for name, task in TASK_OF.items())
_DESCRIPTION = f"""\
Score the newest checkpoint of a run beside random initialisation and pixels.
Any field eval.* of tvdim_jax/config/schema.py can be set with --config.eval.FIELD=VALUE, and
--config.data.source=KIND with --data takes data of another kind.

tasks:
{_TASKS}

robustness takes a config file instead of a run: it trains small twins of it (a few hundred updates;
any field is as --config.FIELD=VALUE says) whose captions are swapped among the training images at
each of --levels, with each objective of its family, and draws every metric against the level.

example:
  tvdim evaluate runs/demo --tasks knn,pointing --json
  tvdim evaluate runs/mimic_cxr_lmi --split test --tasks findings --config.eval.uncertain=positive
  tvdim evaluate runs/local --against runs/global --tasks findings
  tvdim evaluate runs/coco_srcl --config.data.source=karpathy --data FLICKR30K --split test \
      --tasks retrieval,reranking --config.eval.num_test_examples=1000
  tvdim evaluate configs/demo.py --tasks robustness --levels 0,.2,.4,.6

exit code: 0 some task was scored, 1 none was, 2 bad config, data or checkpoint, 75 robustness was
stopped and saved.
"""


def add_parser(verbs: argparse._SubParsersAction) -> None:
    """Adds the verb to the console script."""
    parser = verbs.add_parser(
        "evaluate",
        help="score a run",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "workdir",
        metavar="RUN",
        help="the run folder, such as runs/demo; of robustness a config file",
    )
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
    parser.add_argument(
        "--levels",
        metavar="L1,L2",
        help="shares of swapped captions; robustness only (default: 0,.2,.4,.6)",
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of the tables")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace, overrides: Sequence[str]) -> int:
    """Runs the verb; see `tvdim_jax.cli.entry.main` for the exit codes."""
    logging.set_verbosity(logging.WARNING)
    tasks = tuple(args.tasks.split(",")) if args.tasks else None
    split = [f"--config.eval.split={args.split}"] if args.split else []
    words = [*overrides, *split]
    console = Console(quiet=args.json)
    found: dict[str, Any] | None
    if tasks and ROBUSTNESS in tasks:
        _check_robustness(args, tasks)
        levels = LEVELS if args.levels is None else _levels(args.levels)
        found = run_robustness(args.workdir, words, levels, console)
    elif args.levels is not None:
        raise ConfigError(f"--levels is {args.levels!r}, which goes with --tasks robustness alone")
    else:
        found = evaluate_run(
            Path(args.workdir),
            tasks,
            console,
            overrides=words,
            data_path=args.data,
            against=args.against,
        )
    if found is None:
        return STOPPED_AND_SAVED
    if args.json:
        Console(soft_wrap=True).print_json(json.dumps(found))
    missing = found.get("not_scored", {})
    nothing = missing and not any(found[name] for name in found if name != "not_scored")
    return NOTHING_SCORED if nothing else 0


def _check_robustness(args: argparse.Namespace, tasks: Sequence[str]) -> None:
    """Refuses words that say what to do with a run, which is not there yet."""
    if len(tasks) > 1:
        raise ConfigError(
            f"--tasks is {args.tasks!r}, wanted robustness alone: it trains; name what its twins "
            "are scored by with --config.eval.tasks=\"('knn','retrieval')\""
        )
    if args.against or args.data:
        word = "--against" if args.against else "--data"
        raise ConfigError(
            f"{word} goes with a run, not with --tasks robustness; --config.data.path=DIR says "
            "where the data of a config are"
        )


def _levels(text: str) -> tuple[float, ...]:
    try:
        return tuple(float(word) for word in text.split(","))
    except ValueError as error:
        raise ConfigError(f"--levels is {text!r}, wanted numbers such as 0,.2,.4,.6") from error
