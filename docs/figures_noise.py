"""Draws what swapped captions cost each loss, from the records of benchmarks/claims_tvdim.py.

Command: python docs/figures_noise.py FOLDER docs/images/noise.png
         with FOLDER such as benchmarks/results/claims_tvdim/cpu/captions
"""

import statistics
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # finds benchmarks from anywhere

from benchmarks.studies.records import records_or_exit
from benchmarks.studies.tables import Figures, Run, by_seed
from benchmarks.tvdim_claims.arms import NOISE_PERCENTS, PAIR_LOSSES, name_at
from benchmarks.tvdim_claims.figures import image_figures, recalls, text_figures
from tvdim_jax.report.figures import write_both_themes
from tvdim_jax.report.noise import Panel, noise_figure

NAMES = dict(zip(PAIR_LOSSES, ("ranking", "InfoNCE", "similarity-regulated"), strict=True))
NO_TEXT = {"amdim": "AMDIM", "random": "random weights", "pixels": "pixels"}
# Columns of the tables.
PROBE, RECALLS = "probe", ("image to text R@10", "text to image R@10")


def main(folder: str, out: str) -> None:
    """Draws the figure.

    Args:
      folder: of the records of one set.
      out: PNG to write; the dark one lies beside it.
    """
    runs = records_or_exit(Path(folder), "claims_tvdim.py")
    found = by_seed(runs, lambda run: image_figures(run) | text_figures(run))
    no_text = {name: _values(PROBE, found[arm]) for arm, name in NO_TEXT.items() if arm in found}
    panels = [
        Panel(
            "linear probe on images, mean AUC, %",
            _curves(PROBE, found),
            {name: statistics.fmean(values) for name, values in no_text.items()},
        ),
        *(Panel(f"{way}, %", _curves(way, found), _chance(runs, way)) for way in RECALLS),
    ]
    first = runs[0]
    seeds = ", ".join(map(str, sorted({run["seed"] for run in runs})))
    title = (
        f"seeds {seeds}; {first['num_test']:,} test images, {first['num_steps']:,} updates of "
        f"{first['batch_size']} images; a mark is a seed, a line their mean"
    )
    write_both_themes(lambda: noise_figure(panels, title), Path(out))


def _curves(
    column: str, found: Mapping[str, Mapping[int, Figures]]
) -> dict[str, dict[float, list[float]]]:
    """Each loss at each share of swapped captions: the values of its seeds."""
    return {
        NAMES[arm]: {
            percent: _values(column, found.get(name_at(arm, percent), {}))
            for percent in NOISE_PERCENTS
        }
        for arm in PAIR_LOSSES
    }


def _values(column: str, by_seeds: Mapping[int, Figures]) -> list[float]:
    """In percent, of each seed."""
    return [100 * each[column] for each in by_seeds.values()]


def _chance(runs: Sequence[Run], way: str) -> dict[str, float]:
    chance = [
        run["results"]["retrieval"]["chance"] for run in runs if "retrieval" in run["results"]
    ]
    return {"chance": 100 * recalls(chance[0])[way]} if chance else {}


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: python docs/figures_noise.py FOLDER OUT.png")
    main(*sys.argv[1:])
