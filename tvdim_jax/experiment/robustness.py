"""How the objectives of a config bear wrong captions: small twins, one table, one figure."""

import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from ml_collections import ConfigDict
from rich.console import Console

from tvdim_jax.config import ConfigError, flat_fields, load
from tvdim_jax.experiment import run_folder
from tvdim_jax.experiment.data import Splits, make_splits, with_noise
from tvdim_jax.experiment.inference import open_trained
from tvdim_jax.experiment.noise_report import collect, draw, noise_table
from tvdim_jax.experiment.summary import evaluate_and_report, is_finished
from tvdim_jax.experiment.training import run_training
from tvdim_jax.experiment.twins import COMPARED, Twin, make_twins, percent
from tvdim_jax.train.metric_log import MetricLog

LEVELS = (0.0, 0.2, 0.4, 0.6)
_LOG_WIDTH = 120


def run_robustness(
    path: str, overrides: Sequence[str], levels: Sequence[float], console: Console
) -> dict[str, Any] | None:
    """Trains and scores the twins of a config that are not there yet, and reports on all.

    In the folder of the twins (see `make_twins`) lie their run folders with a `log.txt` each,
    `noise_index_PERCENT.npy`, int64 `[n]`, the training row whose captions each row had at that
    level, `robustness.json` and `robustness.png`. All are scored on images with their own captions.

    Args:
      path: of the config file.
      overrides: see `tvdim_jax.config.load`.
      levels: shares of the training rows that get the captions of others, in [0, 1), increasing.
      console: where progress and table go.

    Returns:
      What `robustness.json` holds; None when told to stop: the same call goes on.

    Raises:
      ConfigError, DataError: before any update, see `make_twins` and `run_training`; also for an
        index file of other data.
      BadDataError, NonFiniteError, EvaluationError: of a twin.
    """
    twins = make_twins(path, overrides, levels)
    folder = Path(twins[0].config.workdir).parent
    changed = _changed(load(path, overrides), twins[0].config)
    splits = make_splits(twins[0].config)
    noise = _record_noise(twins, splits, folder)
    todo = [twin for twin in twins if not _is_done(twin)]
    say = partial(_say, console)
    say(f"{len(twins)} runs in {folder}, {len(twins) - len(todo)} of them done before")
    differences = (f"{name} {old} -> {new}" for name, (old, new) in changed.items())
    say(f"twins of {path}: {', '.join(differences)}")
    start = time.perf_counter()
    for count, twin in enumerate(todo, start=1):
        with console.status(f"{twin}: {count} of {len(todo)}; see {twin.config.workdir}/log.txt"):
            if not _run(twin):
                say(f"{twin}: stopped and saved; the same command goes on")
                return None
        left = (time.perf_counter() - start) / count * (len(todo) - count)
        say(f"{twin}: {count} of {len(todo)} done; about {left / 60:.0f} min left")
    record = {"config": path, "changed": changed, **collect(twins, splits, noise)}
    run_folder.write_json(folder / "robustness.json", record)
    console.print(noise_table(record))
    if draw(record, figure := folder / "robustness.png"):
        say(f"figure: {figure}")
    return record


def _say(console: Console, line: str) -> None:
    console.print(line, highlight=False, markup=False, soft_wrap=True)


def _is_done(twin: Twin) -> bool:
    """Whether it was trained and scored as its config says; ConfigError where it was another."""
    workdir = Path(twin.config.workdir)
    if not is_finished(workdir, twin.config.train.num_steps):
        return False
    run_folder.check_same_run(twin.config)
    return run_folder.read_config(workdir).eval == twin.config.eval


def _run(twin: Twin) -> bool:
    """Trains and scores a twin; one that was scored by other fields of eval is scored again.

    Returns:
      False when told to stop.
    """
    config, workdir = twin.config, Path(twin.config.workdir)
    workdir.mkdir(parents=True, exist_ok=True)
    with (workdir / "log.txt").open("a", encoding="utf-8") as log:
        console = Console(file=log, width=_LOG_WIDTH)
        if not is_finished(workdir, config.train.num_steps):
            return run_training(config, console)
        run = open_trained(workdir)
        evaluate_and_report(
            config,
            make_splits(config),
            run.tokenizer,
            run.model,
            (run.params, run.variables),
            step=run.step,
            tasks=config.eval.tasks,
            console=console,
            log=MetricLog(run_folder.metrics_path(workdir), {}, console.print),
        )
    run_folder.open_folder(config)  # keeps the fields that it is now scored by
    return True


def _changed(config: ConfigDict, twin: ConfigDict) -> dict[str, tuple[Any, Any]]:
    """Fields in which the twins differ from their config, but for what is compared."""
    before, after = flat_fields(config), flat_fields(twin)
    compared = COMPARED[config.objective.name][0]
    return {
        name: (before[name], value)
        for name, value in after.items()
        if value != before[name] and name not in ("workdir", compared)
    }


def _record_noise(
    twins: Sequence[Twin], splits: Splits, folder: Path
) -> dict[float, dict[str, Any]]:
    """Writes whose captions each training row has, one file a level; level -> what it says."""
    found: dict[float, dict[str, Any]] = {}
    folder.mkdir(parents=True, exist_ok=True)
    for config in {twin.level: twin.config for twin in twins}.values():
        level = config.data.noise_rate
        noisy = with_noise(config, splits).train
        index = getattr(noisy, "noise_index", np.arange(len(noisy))).astype(np.int64)
        path = folder / f"noise_index_{percent(level)}.npy"
        if not path.exists():
            partial_path = path.with_suffix(".partial")
            with partial_path.open("wb") as file:
                np.save(file, index, allow_pickle=False)
            partial_path.replace(path)
        elif not np.array_equal(np.load(path, allow_pickle=False), index):
            raise ConfigError(
                f"{path} was recorded for other data or another data.noise_seed; take another "
                "folder with --config.workdir=DIR"
            )
        num_swapped = int((index != np.arange(len(index))).sum())
        found[level] = {"noise_index": path.name, "num_swapped": num_swapped}
    return found
