"""Values with their intervals, one above the other."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tvdim_jax.report.figures import figure_svg
from tvdim_jax.report.formats import number
from tvdim_jax.report.lines import Level
from tvdim_jax.report.style import DASHED, colour, drawing, series

WIDTH = 7.0  # inches
_APART = 0.26  # of two series in a row, rows being 1 apart


class Interval(NamedTuple):
    """A value between two ends."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{number(self.value)} ({number(self.low)} to {number(self.high)})"


@drawing()
def draw_intervals(
    rows: Sequence[str],
    found: Mapping[str, Sequence[Interval | None]],
    *,
    unit: str,
    level: Level | None = None,
    lowest: float | None = None,
) -> Markup:
    """Rows from the top, in each a dot and its interval for every series.

    Args:
      rows: names.
      found: series -> one interval a row, None where there is none; a series that is alone is not
        named.
      unit: of the values.
      level: a dashed upright line, such as a ceiling or zero; it lies inside the figure.
      lowest: values below it would press the others together: they are written at the edge.
    """
    figure = Figure(figsize=(WIDTH, 0.75 + 0.42 * len(rows)))
    axis = figure.subplots()
    titles, said, is_cut = {}, [], False
    for index, (name, intervals) in enumerate(found.items()):
        offset = (index - (len(found) - 1) / 2) * _APART
        known = [
            (place + offset, f"{name}, {row}: {interval}", interval)
            for place, (row, interval) in enumerate(zip(rows, intervals, strict=True))
            if interval is not None
        ]
        drawn = [each for each in known if lowest is None or each[2].value >= lowest]
        if drawn:
            _draw(axis, drawn, name, index)
            titles[f"points-{index}"] = [text for _, text, _ in drawn]
        for place, _, interval in (each for each in known if each not in drawn):
            axis.text(0, place, f"◂ {number(interval.value)}", color=series(index), va="center",
                      transform=axis.get_yaxis_transform())  # fmt: skip
            is_cut = True
        said += [text for _, text, _ in known]
    if level is not None:
        axis.axvline(level.value, color=colour("muted"), linestyle=DASHED, linewidth=1.2)
        axis.annotate(
            level.label, (level.value, 1), (0, 2), xycoords=("data", "axes fraction"),
            textcoords="offset points", ha="center", color=colour("muted"), fontsize=8.5,
        )  # fmt: skip
    if is_cut:  # now that the axis reaches everything that is drawn
        axis.set_xlim(left=lowest)
    axis.set_yticks(range(len(rows)), rows)
    axis.set_ylim(len(rows) - 0.5, -0.5)
    axis.grid(visible=False, axis="y")
    axis.tick_params(axis="y", labelcolor=colour("ink"))
    axis.spines["left"].set_visible(False)
    axis.set_xlabel(unit)
    if len(found) > 1:
        axis.legend(loc="upper left", bbox_to_anchor=(1, 1), handlelength=1)
    return figure_svg(figure, f"{unit}: {'; '.join(said)}", titles)


def _draw(axis: Axes, drawn: Sequence[tuple[float, str, Interval]], name: str, index: int) -> None:
    for place, _, (_, low, high) in drawn:
        axis.plot([low, high], [place, place], color=series(index), linewidth=2.4, alpha=0.55)
    places = [place for place, _, _ in drawn]
    values = [interval.value for _, _, interval in drawn]
    axis.plot(values, places, "o", color=series(index), markersize=6, label=name)
    axis.plot(values, places, "o", color=series(index), markersize=11, gid=f"points-{index}")
