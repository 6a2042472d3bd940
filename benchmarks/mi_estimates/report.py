"""Tables and the JSON of the estimates."""

import json
import statistics
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.loss_costs.report import versions

Run = dict[str, Any]


def summary(bound: str, runs: Sequence[Run]) -> dict[str, Any]:
    """Errors of a bound over tasks and seeds, in nats, and its seconds a run."""
    errors = [run["estimate"] - run["truth"] for run in runs]
    return {
        "bound": bound,
        "mean_absolute_error": statistics.fmean(map(abs, errors)),
        "mean_error": statistics.fmean(errors),
        "largest_error": max(errors, key=abs),
        "std_over_seeds": _mean_or_none(std for _, std in by_task(runs).values()),
        "cpu_seconds": statistics.fmean(run["cpu_seconds"] for run in runs),
        "wall_seconds": statistics.fmean(run["wall_seconds"] for run in runs),
        "compile_seconds": sum(run["compile_seconds"] for run in runs),
    }


def by_task(runs: Sequence[Run]) -> dict[str, tuple[float, float | None]]:
    """Mean and, of two seeds or more, standard deviation of each task's estimates by one bound."""
    estimates: dict[str, list[float]] = {}
    for run in runs:
        estimates.setdefault(run["task"], []).append(run["estimate"])
    return {
        task: (statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else None)
        for task, values in estimates.items()
    }


def print_tables(runs: Sequence[Run], totals: Sequence[dict[str, Any]]) -> None:
    """Each task's estimates, mean and standard deviation over seeds, then each bound's summary."""
    bounds = [total["bound"] for total in totals]
    columns = [by_task([run for run in runs if run["bound"] == bound]) for bound in bounds]
    table = Table("task", "truth", *bounds, title="estimates in nats, mean and std over seeds")
    for task, truth in {run["task"]: run["truth"] for run in runs}.items():
        cells = (f"{_text(mean)} ±{_text(std)}" for mean, std in (of[task] for of in columns))
        table.add_row(task, _text(truth), *cells)
    Console(width=140).print(table)
    names = [name for name in totals[0] if name != "bound"]
    table = Table("bound", *(name.replace("_", " ") for name in names))
    for total in totals:
        table.add_row(total["bound"], *(_text(total[name]) for name in names))
    Console(width=140).print(table)


def write_json(
    path: Path, runs: Sequence[Run], totals: Sequence[dict[str, Any]], device: str
) -> None:
    """Device, versions, the bounds' summaries and all runs."""
    path.parent.mkdir(parents=True, exist_ok=True)
    record = {"device": device, "versions": versions(), "bounds": totals, "runs": runs}
    path.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


def _mean_or_none(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.fmean(known) if known else None


def _text(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
