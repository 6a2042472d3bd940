"""`tvdim train`: one run from a config file."""

import argparse
import os
from collections.abc import Sequence

import jax
from absl import logging
from rich.console import Console

from tvdim_jax import config as config_lib
from tvdim_jax.config import ConfigError
from tvdim_jax.experiment.training import run_training

STOPPED_AND_SAVED = 75  # EX_TEMPFAIL: run the same command again

_DESCRIPTION = """\
Train from a config file, or go on with the run in its folder.
Any field of tvdim_jax/config/schema.py can be set with --config.FIELD=VALUE.

example:
  tvdim train --config=configs/demo.py --config.train.num_steps=100 --config.workdir=/tmp/demo
"""


def add_parser(verbs: argparse._SubParsersAction) -> None:
    """Adds the verb to the console script."""
    parser = verbs.add_parser(
        "train",
        help="train from a config file",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--config", required=True, metavar="FILE", help="such as configs/coco.py")
    parser.add_argument(
        "--distributed",
        action="store_true",
        help="join the other processes first: found by jax on TPU pods and SLURM, else given by "
        "JAX_COORDINATOR_ADDRESS, JAX_NUM_PROCESSES and JAX_PROCESS_ID (see launch/README.md)",
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace, overrides: Sequence[str]) -> int:
    """Runs the verb; see `tvdim_jax.cli.entry.main` for the exit codes."""
    config = config_lib.load(args.config, overrides)
    if args.distributed:
        join_processes()
    # Asked only where it can differ: it starts the devices, and the data are checked before them.
    console = Console(quiet=args.distributed and jax.process_index() != 0)
    logging.set_verbosity(logging.WARNING)
    return 0 if run_training(config, console) else STOPPED_AND_SAVED


def join_processes() -> None:
    """Joins the processes of a multi-process run.

    Raises:
      ConfigError: the environment names only a part of what is needed, or not in numbers.
    """
    names = ("JAX_COORDINATOR_ADDRESS", "JAX_NUM_PROCESSES", "JAX_PROCESS_ID")
    given = [name for name in names if os.environ.get(name)]
    if not given:
        try:
            jax.distributed.initialize()
        except ValueError as error:  # neither a TPU pod nor SLURM
            raise ConfigError(
                f"--distributed found no cluster ({error}): set {', '.join(names)}"
            ) from error
        return
    if len(given) < len(names):
        missing = ", ".join(name for name in names if name not in given)
        raise ConfigError(f"--distributed got {', '.join(given)} but not {missing}: set all three")
    address, count, index = (os.environ[name] for name in names)
    if not (count.isdecimal() and index.isdecimal() and int(index) < int(count)):
        raise ConfigError(
            f"--distributed got process {index!r} of {count!r}: set JAX_NUM_PROCESSES to a number "
            "and JAX_PROCESS_ID to one below it, from 0"
        )
    jax.distributed.initialize(address, int(count), int(index))
