"""What swapped captions cost: a metric against their share, one panel for each metric."""

import statistics
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tvdim_jax.report.style import DASHED, colour, marker, series

_ROW = 3  # panels side by side
_TEXT_HEIGHT = 0.06  # of a panel


class Panel(NamedTuple):
    """One metric.

    Attributes:
      label: of its axis, with the unit.
      curves: name of the objective -> share of swapped captions in percent -> its value for each
        seed.
      lines: name -> value of what has no captions, or of chance.
    """

    label: str
    curves: Mapping[str, Mapping[float, Sequence[float]]]
    lines: Mapping[str, float]


def noise_figure(panels: Sequence[Panel], title: str) -> Figure:
    """The figure, to be drawn inside `style.drawing`.

    Args:
      panels: at least one; objectives keep their colour and mark in all of them.
      title: a line above.
    """
    names = list(dict.fromkeys(name for panel in panels for name in panel.curves))
    columns = min(len(panels), _ROW)
    rows = -(-len(panels) // columns)
    figure = Figure(figsize=(max(4.3 * columns, 6), 3.4 * rows))
    axes = list(figure.subplots(rows, columns, squeeze=False).flat)
    for axis, panel in zip(axes, panels, strict=False):
        _plot_panel(axis, panel, names)
    for axis in axes[len(panels) :]:
        axis.set_axis_off()
    found = {
        label: handle
        for axis in axes[: len(panels)]
        for handle, label in zip(*axis.get_legend_handles_labels(), strict=True)
    }
    # Below the panels, as inside one it would hide marks or lines.
    figure.legend(found.values(), found.keys(), loc="outside lower center", ncols=len(names))
    figure.suptitle(title, fontsize=9, color=colour("muted"))
    return figure


def _plot_panel(axis: Axes, panel: Panel, names: Sequence[str]) -> None:
    shares = sorted({share for curve in panel.curves.values() for share in curve})
    for name, curve in panel.curves.items():
        index = names.index(name)
        known = {share: curve[share] for share in shares if curve.get(share)}
        means = [statistics.fmean(values) for values in known.values()]
        axis.plot(list(known), means, color=series(index))
        every = [(share, value) for share, values in known.items() for value in values]
        if every:
            x, y = zip(*every, strict=True)
            axis.scatter(x, y, s=18, color=series(index), marker=marker(index), label=name)
    for value in panel.lines.values():
        axis.axhline(value, color=colour("muted"), linestyle=DASHED, linewidth=1, zorder=0)
    low, high = axis.get_ylim()
    at_the_right = axis.get_yaxis_transform()  # a share of the width, and a value
    for value, name in _joined(panel.lines, _TEXT_HEIGHT * (high - low)):
        axis.text(
            1.01, value, name, transform=at_the_right, color=colour("muted"), fontsize=8,
            va="center", ha="left",
        )  # fmt: skip
    axis.set_xticks(shares)
    axis.grid(visible=False, axis="x")
    axis.set_xlabel("training captions that are another image's, %")
    axis.set_ylabel(panel.label)


def _joined(lines: Mapping[str, float], height: float) -> list[tuple[float, str]]:
    """Middle and text of the names of lines, of this height; where they would overlap, one text."""
    groups: list[list[tuple[float, str]]] = []
    for name, value in sorted(lines.items(), key=lambda line: line[1]):
        groups.append([(value, name)])
        while len(groups) > 1 and _middle(groups[-1]) - _middle(groups[-2]) < (
            height * (len(groups[-1]) + len(groups[-2])) / 2
        ):
            groups[-2:] = [groups[-2] + groups[-1]]
    return [(_middle(each), "\n".join(name for _, name in reversed(each))) for each in groups]


def _middle(group: Sequence[tuple[float, str]]) -> float:
    return statistics.fmean(value for value, _ in group)
