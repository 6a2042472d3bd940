"""What the twins of a config reached: one record, one table, one figure."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from rich.table import Table

from tvdim_jax.experiment import run_folder
from tvdim_jax.experiment.clip_benchmark import with_our_names
from tvdim_jax.experiment.data import Splits, scored_name
from tvdim_jax.experiment.tables import new_table
from tvdim_jax.experiment.twins import Twin, percent
from tvdim_jax.report.figures import write_png
from tvdim_jax.report.noise import Panel, noise_figure


class Column(NamedTuple):
    """A metric of the table and of the figure; `scale` makes what is shown of it, 100 of shares."""

    task: str
    metric: str
    scale: float


def collect(
    twins: Sequence[Twin], splits: Splits, noise: Mapping[float, Mapping[str, Any]]
) -> dict[str, Any]:
    """The results of all twins, from their folders, as JSON.

    Args:
      twins: trained and scored.
      splits: their sources, without noise.
      noise: level -> what is recorded of it.

    Returns:
      Names and sizes of what was done, and "runs": for each twin "objective", "level", "run" (its
      folder), what `noise` says, and "results", task -> the JSON of its evaluation.
    """
    config = twins[0].config
    dataset = scored_name(config, splits)
    runs = []
    for twin in twins:
        results = {}
        for task in config.eval.tasks:
            path = run_folder.evaluation_path(Path(twin.config.workdir), task, dataset)
            if path.exists():
                results[task] = with_our_names(json.loads(path.read_text(encoding="utf-8")))
        run = {"objective": twin.objective, "level": twin.level, "run": twin.config.workdir}
        runs.append({**run, **noise[twin.level], "results": results})
    return {
        "dataset": dataset,
        "seed": config.seed,
        "noise_seed": config.data.noise_seed,
        "num_steps": config.train.num_steps,
        "batch_size": config.train.batch_size,
        "num_train": len(splits.train),
        "num_test": len(splits.test),
        "runs": runs,
    }


def columns_of(record: Mapping[str, Any]) -> list[Column]:
    """All metrics of the runs; of retrieval recall at 10 alone."""
    found: dict[Column, None] = {}
    for run in record["runs"]:
        for task, result in run["results"].items():
            scale = 1.0 if "numbers" in result else 100.0
            for metric in result["metrics"]:
                if task != "retrieval" or metric.endswith("R@10"):
                    found[Column(task, metric, scale)] = None
    return list(found)


def noise_table(record: Mapping[str, Any]) -> Table:
    """A row for each run and for what has no captions, a column for each metric.

    Args:
      record: see `collect`.
    """
    table = new_table(f"{record['dataset']}: scores by the share of swapped captions, percent")
    columns = columns_of(record)
    table.add_column("objective", no_wrap=True)
    table.add_column("swapped", justify="right")
    for column in columns:
        table.add_column(f"{column.task}\n{column.metric}".replace("_", " "), justify="right")
    for run in record["runs"]:
        values = (_value(run["results"].get(column.task, {}), column) for column in columns)
        share = percent(run["level"])
        table.add_row(run["objective"], share, *map(_cell, values))
    lines = [_lines(record["runs"], column) for column in columns]
    for name in dict.fromkeys(name for each in lines for name in each):
        table.add_row(name, "-", *(_cell(each.get(name)) for each in lines))
    return table


def draw(record: Mapping[str, Any], path: Path) -> bool:
    """Writes the figure of a record, see `collect`.

    Returns:
      False where there is no metric: then nothing is written.
    """
    panels = [_panel(record["runs"], column) for column in columns_of(record)]
    title = (
        f"{record['dataset']}: seed {record['seed']}, {record['num_steps']:,} updates of "
        f"{record['batch_size']} images; {record['num_test']:,} test images with their own captions"
    )
    if panels:
        write_png(lambda: noise_figure(panels, title), path)
    return bool(panels)


def _panel(runs: Sequence[Mapping[str, Any]], column: Column) -> Panel:
    curves: dict[str, dict[float, list[float]]] = {}
    for run in runs:
        value = _value(run["results"].get(column.task, {}), column)
        curve = curves.setdefault(run["objective"], {})
        curve[100 * run["level"]] = [] if value is None else [value]
    unit = ", %" if column.scale == 100 else ""
    label = f"{column.task} {column.metric}{unit}".replace("_", " ")
    return Panel(label, curves, _lines(runs, column))


def _lines(runs: Sequence[Mapping[str, Any]], column: Column) -> dict[str, float]:
    """What no caption touches: the baselines of the first run that has them, and chance."""
    found: dict[str, float] = {}
    for run in runs:
        result = run["results"].get(column.task, {})
        others = {**result.get("baselines", {}), "chance": {"metrics": result.get("chance", {})}}
        for name, each in others.items():
            value = _value(each, column)
            if value is not None:
                found.setdefault(name, value)
    return found


def _value(result: Mapping[str, Any], column: Column) -> float | None:
    value = result.get("metrics", {}).get(column.metric)
    return None if value is None else column.scale * value


def _cell(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"
