"""The writers that a config names, opened for a run."""

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import jax
from ml_collections import ConfigDict
from rich.console import Console

from tvdim_jax.config import ConfigError, flat_fields
from tvdim_jax.experiment import run_folder
from tvdim_jax.train.metric_log import MetricLog
from tvdim_jax.train.metrics import read_rows
from tvdim_jax.train.writers import (
    check_packages,
    make_csv_writer,
    make_tensorboard_writer,
    make_wandb_writer,
)


def check_writers(config: ConfigDict) -> None:
    """Raises ConfigError where a writer of the config lacks its package.

    A finished run is read without its writers, so this is no part of `config.check`.
    """
    try:
        check_packages(config.train.writers)
    except ValueError as error:
        raise ConfigError(f"config.train.writers: {error}") from error


@contextmanager
def open_log(config: ConfigDict, step: int, console: Console) -> Iterator[MetricLog]:
    """The log of a run that starts, or goes on, after `step` updates; process 0 alone writes.

    Args:
      config: of the run, its folder made.
      step: updates done.
      console: told of a writer that fails.
    """
    path = run_folder.metrics_path(Path(config.workdir))
    rows = read_rows(path) if config.train.writers and path.exists() else []
    logged = {int(row["step"] or 0): [*row] for row in rows if (row["step"] or 0) >= step}
    with _opened(config, config.train.writers, step, logged, console) as log:
        yield log


@contextmanager
def open_evaluation_log(
    config: ConfigDict, step: int, console: Console, *, finished: bool
) -> Iterator[MetricLog]:
    """The log of an evaluation after `step` updates, which is no part of the training.

    Of a metric that is there already the last value counts. A run that is not finished may be
    training elsewhere: its writers are its own, and a row of an earlier step would take its later
    ones back, so only metrics.jsonl gets the row.

    Args:
      config: of the run.
      step: of the checkpoint.
      console: told of a writer that fails.
      finished: the run is.
    """
    with _opened(config, config.train.writers if finished else (), step, {}, console) as log:
        yield log


@contextmanager
def _opened(
    config: ConfigDict,
    names: Collection[str],
    step: int,
    logged: Mapping[int, Collection[str]],
    console: Console,
) -> Iterator[MetricLog]:
    workdir = Path(config.workdir)
    path = run_folder.metrics_path(workdir)
    openers = {
        "tensorboard": partial(
            make_tensorboard_writer, run_folder.tensorboard_path(workdir), step=step, logged=logged
        ),
        "csv": partial(make_csv_writer, run_folder.metrics_table_path(workdir), path),
        "wandb": partial(
            make_wandb_writer,
            workdir,
            name=workdir.resolve().name,
            fields=flat_fields(config),
            logged=logged,
        ),
    }
    mine = names if jax.process_index() == 0 else ()
    log = MetricLog(
        path,
        {name: openers[name] for name in mine},
        lambda line: console.print(line, highlight=False, markup=False, soft_wrap=True),
    )
    try:
        yield log
    finally:
        log.close()
