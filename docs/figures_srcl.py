"""Draws what regulated negatives do, from the records of benchmarks/claims_srcl.py.

Command: python docs/figures_srcl.py FOLDER docs/images/srcl.png
         with FOLDER such as benchmarks/results/claims_srcl/scenes_40
"""

import statistics
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # finds benchmarks from anywhere

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.srcl_claims.arms import THRESHOLDS
from benchmarks.srcl_claims.report import BASE, figures
from benchmarks.srcl_claims.scoring import EDGES
from benchmarks.studies.records import records_or_exit
from benchmarks.studies.tables import Figures, Run, by_seed, subtract
from tvdim_jax.report.figures import write_both_themes
from tvdim_jax.report.style import DASHED, colour, marker, series

KINDS = {"true": "true negatives", "false": "false ones"}  # in the order of the series
CLASS, INSTANCE = "R-precision, class", "R@1, instance"
RULES = {"ratio": "ratio", "softmax5": "softmax, delta 5"}  # arm -> what is said


def main(folder: str, out: str) -> None:
    """Draws the figure.

    Args:
      folder: of the records of one set.
      out: PNG to write; the dark one lies beside it.
    """
    runs = records_or_exit(Path(folder), "claims_srcl.py")
    write_both_themes(lambda: draw(runs), Path(out))


def draw(runs: Sequence[Run]) -> Figure:
    """How the weights of two rules spread, and what removal gains."""
    figure = Figure(figsize=(10.4, 3.3))
    axes = figure.subplots(1, 3)
    for axis, (arm, name) in zip(axes, RULES.items(), strict=False):
        _draw_weights(axis, name, [run for run in runs if run["arm"] == arm])
    _draw_thresholds(axes[2], by_seed(runs, figures))
    seeds = len({run["seed"] for run in runs})
    figure.suptitle(
        f"{seeds} seeds; {runs[0]['num_test']:,} new scenes, {runs[0]['num_steps']:,} updates of "
        f"{runs[0]['batch_size']} pairs",
        fontsize=9,
        color=colour("muted"),
    )
    return figure


def _draw_weights(axis: Axes, name: str, runs: Sequence[Run]) -> None:
    """How the weights of false and of true negatives spread, by the teacher, of all seeds."""
    weights = [run["results"]["weights"]["teacher"] for run in runs]
    places = np.asarray(EDGES[:-1])
    for index, (kind, label) in enumerate(KINDS.items()):
        counts = np.sum([each[kind] for each in weights], axis=0)
        percent = 100 * counts / counts.sum()
        width = np.diff(places, append=2.1)
        how = {"color": series(index), "alpha": 0.6}
        axis.bar(places, percent, width, align="edge", label=label, **how)
    auc = statistics.fmean(each["auc"] for each in weights)
    axis.set_title(f"{name}: AUC {auc:.2f}")
    axis.set_xticks([0, 0.5, 1, 1.5, 2], ["0", "0.5", "1", "1.5", "2 or\nmore"])
    axis.grid(visible=False, axis="x")
    axis.set_xlabel("weight, by the teacher's similarity")
    axis.set_ylabel("negatives of the kind, %")
    axis.legend()


def _draw_thresholds(axis: Axes, found: Mapping[str, Mapping[int, Figures]]) -> None:
    """What removal of light negatives gains, by the weight below which they go."""
    gains = [subtract(found[f"removal_{bound}"], found[BASE]) for bound in THRESHOLDS]
    soft = subtract(found["softmax5"], found[BASE])
    dashed = {"linestyle": DASHED, "linewidth": 1}
    for index, column in enumerate((CLASS, INSTANCE)):
        how = {"color": series(index)}
        means = [statistics.fmean(_percent(column, each)) for each in gains]
        axis.plot(THRESHOLDS, means, **how)
        for bound, each in zip(THRESHOLDS, gains, strict=True):
            values = _percent(column, each)
            axis.scatter([bound] * len(values), values, s=14, marker=marker(index), **how)
        axis.plot([], [], marker=marker(index), label=column, **how)
        axis.axhline(statistics.fmean(_percent(column, soft)), **how, **dashed)
    axis.plot([], [], color=colour("muted"), label="softmax 5, none removed", **dashed)
    axis.axhline(0, color=colour("muted"), linewidth=0.8, zorder=1)
    axis.set_ylim(-10, 16)  # room for the legend
    axis.grid(visible=False, axis="x")
    axis.set_title("removal of light negatives")
    axis.set_xlabel("removed below this weight (softmax, delta 5)")
    axis.set_ylabel("gain over InfoNCE, points")
    axis.legend(loc="upper right")


def _percent(column: str, by_seeds: Mapping[int, Figures]) -> list[float]:
    """In percent, of each seed."""
    return [100 * each[column] for each in by_seeds.values()]


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: python docs/figures_srcl.py FOLDER OUT.png")
    main(*sys.argv[1:])
