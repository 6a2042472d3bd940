"""A small chart of numbers over the updates, with its values under the pointer."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import (
    EngFormatter,
    LogLocator,
    MaxNLocator,
    NullFormatter,
    StrMethodFormatter,
)

from tvdim_jax.report.figures import figure_svg
from tvdim_jax.report.formats import number, shortened
from tvdim_jax.report.style import DASHED, colour, drawing, series

SIZE = (3.6, 2.15)  # inches
_ROUND = (1, 2, 2.5, 5, 10)  # steps of an axis
MOST_TITLES = 100  # of one line, evenly over it


class Line(NamedTuple):
    """One line of a chart: values over updates, in the order of the updates, all finite."""

    label: str
    steps: Sequence[float]
    values: Sequence[float]


class Level(NamedTuple):
    """A dashed line across the chart, such as a ceiling."""

    value: float
    label: str


@drawing()
def draw_lines(
    lines: Sequence[Line], *, unit: str, level: Level | None = None, log: bool = False
) -> Markup:
    """The chart as SVG, with its values under the pointer; the arguments are those of `plot_lines`.

    Args:
      lines: at least one.
      unit: of the values.
      level: a dashed line.
      log: for a logarithmic axis.
    """
    figure = Figure(figsize=SIZE)
    axis = figure.subplots()
    plot_lines(axis, lines, unit=unit, level=level, log=log)
    titles = {
        f"points-{index}": _add_points(axis, line, index, named=len(lines) > 1)
        for index, line in enumerate(lines)
    }
    return figure_svg(figure, _alt(lines, unit), titles)


def plot_lines(
    axis: Axes,
    lines: Sequence[Line],
    *,
    unit: str,
    level: Level | None = None,
    log: bool = False,
) -> None:
    """Draws the chart.

    Args:
      axis: an empty one.
      lines: at least one; more than one get a legend.
      unit: of the values, on their axis.
      level: is drawn as well, and lies inside the chart.
      log: the values' axis is logarithmic where all are above 0.
    """
    for index, line in enumerate(lines):
        _plot(axis, line, index)
    if level is not None:
        axis.axhline(level.value, color=colour("muted"), linestyle=DASHED, linewidth=1.2)
        axis.annotate(
            level.label, (1, level.value), (-2, 3), xycoords=("axes fraction", "data"),
            textcoords="offset points", ha="right", color=colour("muted"), fontsize=8.5,
        )  # fmt: skip
        low, high = axis.get_ylim()
        axis.set_ylim(low, max(high, level.value + 0.12 * (high - low)))
    _set_axes(axis, log=log and all(value > 0 for line in lines for value in line.values))
    axis.set_ylabel(unit)
    if len(lines) > 1:
        axis.legend(loc="best", handlelength=1.2)


def _set_axes(axis: Axes, *, log: bool) -> None:
    if log:
        axis.set_yscale("log")
        axis.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
        axis.yaxis.set_minor_formatter(NullFormatter())
        axis.tick_params(axis="y", which="minor", length=0)
    else:
        axis.yaxis.set_major_locator(MaxNLocator(5, steps=_ROUND))
    axis.set_xlim(left=0)
    axis.xaxis.set_major_locator(MaxNLocator(5, integer=True, steps=_ROUND))
    axis.xaxis.set_major_formatter(EngFormatter(sep=""))
    axis.grid(visible=False, axis="x")
    axis.set_xlabel("updates")


def _plot(axis: Axes, line: Line, index: int) -> None:
    few = "o" if len(line.steps) < 3 else None  # one point makes no line
    axis.plot(
        line.steps,
        line.values,
        color=series(index),
        label=shortened(line.label),
        marker=few,
        markersize=4,
    )


def _add_points(axis: Axes, line: Line, index: int, *, named: bool) -> list[str]:
    """Markers that are invisible until the pointer is on them; returns what each then says."""
    chosen = np.unique(
        np.linspace(0, len(line.steps) - 1, min(MOST_TITLES, len(line.steps))).round().astype(int)
    )
    steps, values = (np.asarray(each)[chosen] for each in (line.steps, line.values))
    axis.plot(
        steps, values, "o", color=series(index), markersize=7, gid=f"points-{index}", clip_on=False
    )
    name = f"{line.label}, " if named else ""
    return [
        f"{name}update {step:,.0f}: {number(value)}"
        for step, value in zip(steps.tolist(), values.tolist(), strict=True)
    ]


def _alt(lines: Sequence[Line], unit: str) -> str:
    ends = ", ".join(f"{line.label} ends at {number(line.values[-1])}" for line in lines)
    return f"{unit} over updates: {ends}"
