"""Tables and the JSON of what was measured."""

import importlib.metadata
import json
import os
import platform
from pathlib import Path
from typing import Any

import jax
from rich.console import Console
from rich.table import Table

from benchmarks.loss_costs.goals import Goal

Row = dict[str, Any]
MIB = 2**20


def print_rows(title: str, rows: list[Row]) -> None:
    """A table with a column for each key of the rows; figures in a dict get a column each."""
    flat = [_flatten(row) for row in rows]
    columns = list(dict.fromkeys(column for row in flat for column in row))
    table = Table(*(column.replace("_bytes", " MiB") for column in columns), title=title)
    for row in flat:
        table.add_row(*(_cell(column, row.get(column)) for column in columns))
    Console(width=140).print(table)


def print_goals(goals: list[Goal]) -> None:
    """Each goal with its figure, and whether it was met."""
    table = Table("goal", "got", "wanted", "", title="goals")
    for goal in goals:
        wanted = f"{goal.sense} {goal.wanted:,.6g}"
        table.add_row(goal.what, f"{goal.got:,.6g}", wanted, "met" if goal.met else "MISSED")
    Console(width=140).print(table)


def write_json(path: Path, parts: dict[str, list[Row]], goals: list[Goal], device: str) -> None:
    """Versions, device, all rows by part, and all goals."""
    path.parent.mkdir(parents=True, exist_ok=True)
    record = {
        "device": device,
        "versions": versions(),
        **parts,
        "goals": [goal.record() for goal in goals],
    }
    path.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")


def versions() -> dict[str, str]:
    """Versions of what was measured; of PyTorch only where it is installed."""
    found = {"python": platform.python_version()}
    for name in ("jax", "jaxlib", "torch"):
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def device_name() -> str:
    """Kind of the device; of a CPU the cores and their kind."""
    kind = jax.devices()[0].device_kind
    if kind != "cpu":
        return kind
    models = [line for line in _lines("/proc/cpuinfo") if line.startswith("model name")]
    model = models[0].split(":")[1].strip() if models else platform.machine()
    return f"{os.cpu_count()} cores of {model}"


def _lines(path: str) -> list[str]:
    file = Path(path)
    return file.read_text(encoding="utf-8").splitlines() if file.exists() else []


def _flatten(row: Row) -> Row:
    return {
        f"{key} {inner}".strip() if isinstance(value, dict) else key: figure
        for key, value in row.items()
        for inner, figure in (value.items() if isinstance(value, dict) else [("", value)])
    }


def _cell(column: str, value: Any) -> str:
    """A figure as text, bytes as MiB."""
    if value is None:
        return "-"
    if column.endswith("_bytes"):
        return f"{value / MIB:,.1f}"
    if isinstance(value, float):
        return f"{value:.3g}"
    return f"{value:,}" if isinstance(value, int) else str(value)
