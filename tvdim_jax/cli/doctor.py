"""`tvdim doctor`: whether installation, machine and config can train."""

import argparse
import json
from collections.abc import Sequence

from absl import logging
from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from tvdim_jax import config as config_lib
from tvdim_jax.experiment.doctor import examine

FAILED = 1
_DESCRIPTION = """\
Look at versions, devices and memory, and whether the loss and its gradient are the same on one
device and on all of this machine. With --config the loss is that of the config, on its data, and
its model must memorise a few pairs: half of their texts must rank their own image first. That
takes minutes; a model that cannot is not worth a long run. Nothing is written.

example:
  tvdim doctor
  tvdim doctor --config=configs/demo.py
  tvdim doctor --config=configs/flickr8k.py --config.data.path=DIR --pairs 64 --json

exit code: 0 all is well, 1 a check failed, 2 bad config or data.
"""
_COLOURS = {"ok": "green", "failed": "red", "skipped": "dim"}


def add_parser(verbs: argparse._SubParsersAction) -> None:
    """Adds the verb to the console script."""
    parser = verbs.add_parser(
        "doctor",
        help="check installation, machine and config",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--config", metavar="FILE", help="such as configs/coco.py")
    parser.add_argument("--pairs", type=int, default=128, metavar="N", help="default: 128")
    parser.add_argument(
        "--steps", type=int, default=1000, metavar="N", help="updates at most (default: 1000)"
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of the table")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace, overrides: Sequence[str]) -> int:
    """Runs the verb; see `tvdim_jax.cli.entry.main` for the exit codes."""
    logging.set_verbosity(logging.WARNING)
    if args.pairs < 2 or args.steps < 1:
        raise config_lib.ConfigError(
            f"--pairs is {args.pairs} and --steps {args.steps}, wanted at least 2 and at least 1"
        )
    if overrides and not args.config:
        raise config_lib.ConfigError(f"{overrides[0]} changes no config; name one with --config")
    config = config_lib.load(args.config, overrides) if args.config else config_lib.default()
    console = Console(quiet=args.json)
    checks = []
    with console.status("examining"):
        for check in examine(
            config,
            with_config=bool(args.config),
            num_pairs=args.pairs,
            num_steps=args.steps,
            report=lambda line: console.print(line, highlight=False),
        ):
            checks.append(check)
            console.print(f"{check.name}: {check.status}", highlight=False)
    if args.json:
        Console(soft_wrap=True).print_json(json.dumps([check._asdict() for check in checks]))
    table = Table(box=SIMPLE, padding=(0, 1, 0, 0))
    for heading in ("check", "result", "found"):
        table.add_column(heading)
    for check in checks:
        colour = _COLOURS[check.status]
        table.add_row(check.name, f"[{colour}]{check.status}[/]", check.says)
    console.print(table)
    return FAILED if any(check.status == "failed" for check in checks) else 0
