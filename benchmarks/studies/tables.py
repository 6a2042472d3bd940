"""Tables of what the arms of a study reached, and where they stand in the docs."""

import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

Run = Mapping[str, Any]
Figures = Mapping[str, float]
"""Column of a table -> value; a column that an arm cannot have is left out."""


def write_report(path: Path, study: str, runs: Sequence[Run], text: str) -> None:
    """Puts a text between the two markers of a page.

    Args:
      path: of the page.
      study: its markers are `<!-- study: begin -->` and `<!-- study: end -->`.
      runs: the records that the text tells of.
      text: Markdown.

    Raises:
      ValueError: no runs, or the page has no such markers.
    """
    if not runs:
        raise ValueError("got a folder without records, wanted that of a study; set --out")
    first, last = f"<!-- {study}: begin -->", f"<!-- {study}: end -->"
    before, begin, rest = path.read_text(encoding="utf-8").partition(first)
    _, end, after = rest.partition(last)
    if not (begin and end):
        raise ValueError(f"got {path}, wanted a page with the lines {first} and {last}; add them")
    path.write_text(f"{before}{begin}\n{text}\n{end}{after}", encoding="utf-8")


def heading(name: str, runs: Sequence[Run]) -> str:
    """A paragraph that says how the runs of a set were made."""
    seeds = ", ".join(map(str, sorted({run["seed"] for run in runs})))
    devices = sorted({run["device"] for run in runs})
    steps = sorted({run["num_steps"] for run in runs})
    updates = " or ".join(f"{num:,}" for num in steps)
    first = runs[0]
    return (
        f"**{name}**: {updates} updates of {first['batch_size']} images, "
        f"seeds {seeds}, {first['num_test']:,} test images, {', '.join(devices)}. Percent, "
        "mean ± standard deviation over the seeds."
    )


def by_seed(
    runs: Iterable[Run], figures: Callable[[Run], Figures]
) -> dict[str, dict[int, Figures]]:
    """Arm -> seed -> its figures."""
    found: dict[str, dict[int, Figures]] = {}
    for run in runs:
        found.setdefault(run["arm"], {})[run["seed"]] = figures(run)
    return found


def subtract(first: Mapping[int, Figures], second: Mapping[int, Figures]) -> dict[int, Figures]:
    """Figures of the first arm minus those of the second, over the seeds that both have."""
    return {
        seed: {k: first[seed][k] - second[seed][k] for k in first[seed].keys() & second[seed]}
        for seed in sorted(first.keys() & second.keys())
    }


def cell(
    column: str, found: Iterable[Figures], *, sign: str = "", scale: float = 100, digits: int = 1
) -> str:
    """Mean and, of two values or more, standard deviation of a column.

    Args:
      column: of the figures.
      found: figures of each seed.
      sign: "+" writes the sign of positive values too.
      scale: that values are multiplied by.
      digits: after the point.
    """
    values = [scale * each[column] for each in found if column in each]
    if not values:
        return "-"
    spread = f" ± {statistics.stdev(values):.{digits}f}" if len(values) > 1 else ""
    return f"{statistics.fmean(values):{sign}.{digits}f}{spread}"


def cpu_minutes(runs: Sequence[Run]) -> str:
    """Mean CPU minutes of training."""
    return f"{statistics.fmean(run['train_cpu_seconds'] for run in runs) / 60:.1f}"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
