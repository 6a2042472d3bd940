"""Draws the figures of the README and the docs from runs, in light and beside it in dark.

Commands: python docs/figures.py demo runs/demo docs/images/demo.png
          python docs/figures.py curves runs/flickr8k docs/images/flickr8k.png
"""

import math
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure

from tvdim_jax.data.sources.scenes import SIZES, Scenes
from tvdim_jax.experiment.inference import TrainedModel, open_trained
from tvdim_jax.experiment.map_sections import map_card
from tvdim_jax.experiment.report import read_records, read_run_rows
from tvdim_jax.experiment.run_folder import read_config
from tvdim_jax.report.curves import Row, ceiling, line_of
from tvdim_jax.report.figures import write_both_themes
from tvdim_jax.report.formats import percent
from tvdim_jax.report.lines import Level, Line, plot_lines
from tvdim_jax.report.maps import MapCard, text_layer
from tvdim_jax.report.pictures import plot_picture
from tvdim_jax.report.scores import TRAINED, Record, Score, scores_of
from tvdim_jax.report.style import colour, series

UNSEEN_SEED = 7
ROWS = (0, 1, 2, 3)  # the first scenes of that seed, not chosen


class Seen(NamedTuple):
    """An unseen scene.

    Attributes:
      scene: uint8 RGB `[128, 128, 3]`.
      card: the same scene as the encoder reads it, with the map of one caption.
    """

    scene: np.ndarray
    card: MapCard


def main(what: str, run: str, out: str) -> None:
    """Draws a figure.

    Args:
      what: "demo" or "curves".
      run: folder of a run; for "demo" a finished one of configs/demo.py.
      out: PNG to write; the dark one lies beside it.
    """
    folder = Path(run)
    rows, batch_size = read_run_rows(folder), read_config(folder).train.batch_size
    draw = partial(draw_curves, rows, batch_size)
    if what == "demo":
        records, _ = read_records(folder)
        probe = next(each for each in records if each["task"] == "linear_probe")
        draw = partial(draw_demo, unseen_scenes(folder), probe, rows, batch_size)
    write_both_themes(draw, Path(out))


def unseen_scenes(run: Path) -> list[Seen]:
    """Scenes with where the trained critic sees one caption of their main object."""
    trained = open_trained(run)
    model, config = TrainedModel(trained), trained.config
    sizes = max(SIZES), config.data.image_size
    large, read = (Scenes(100, seed=UNSEEN_SEED, image_size=size) for size in sizes)
    return [
        Seen(large.read_image(row), map_card(config, model, read, row, [read.captions(row)[2]]))
        for row in ROWS
    ]


def draw_curves(rows: Sequence[Row], batch_size: int) -> Figure:
    """Image loss, text loss and mutual information over the updates."""
    figure = Figure(figsize=(10.4, 2.9))
    image, text, information = figure.subplots(1, 3)
    plot_lines(image, [_line(rows, "train/image_loss")], unit="nats and penalty")
    image.set_title("Image loss, AMDIM")
    plot_lines(text, [_line(rows, "train/text_loss")], unit="cosine")
    text.set_title("Text loss, ranking")
    _plot_information(information, rows, batch_size)
    information.set_title("Mutual information of image and text")
    return figure


def draw_demo(
    scenes: Sequence[Seen], probe: Record, rows: Sequence[Row], batch_size: int
) -> Figure:
    """Maps over unseen scenes on the left, the bound and the scores on the right."""
    figure = Figure(figsize=(10.4, 4.1))
    left, right = figure.subfigures(1, 2, width_ratios=(2.3, 1), wspace=0.03)
    grid = left.subplots(2, len(scenes))
    for (plain, seen), (scene, card) in zip(grid.T, scenes, strict=True):
        plot_picture(plain, scene)
        plain.set_title(_wrapped(card.texts[0].text), fontsize=8.5, fontweight="normal")
        plot_picture(seen, card.pixels, text_layer(card.texts[0], card.border))
    side = scenes[0].card.pixels.shape[0]
    _title(left, f"Where the trained model sees a caption: new scenes, read at {side} pixels")
    above, below = right.subfigures(2, 1, height_ratios=(1.55, 1))
    _plot_information(above.subplots(), rows, batch_size)
    _title(above, "Mutual information of image and text")
    _plot_scores(below.subplots(), scores_of([probe])[0])
    _title(below, f"Linear probe accuracy, N = {probe['num_test']:,}")
    return figure


def _title(figure: SubFigure, text: str) -> None:
    figure.suptitle(text, x=0.005, ha="left", fontsize=9.5, fontweight="bold")


def _plot_information(axis: Axes, rows: Sequence[Row], batch_size: int) -> None:
    log_n = ceiling(rows, batch_size)
    level = Level(log_n, f"log N = {log_n:.2f}, the ceiling")
    plot_lines(
        axis, [_line(rows, "train/mi_image_text_nats")], unit="nats, lower bound", level=level
    )


def _plot_scores(axis: Axes, score: Score) -> None:
    """The trained encoder's score and the others, the best one above."""
    values = {TRAINED: score.value, **score.others}
    names = sorted(values, key=lambda name: -values[name])
    colours = [series(0) if name == TRAINED else colour("line") for name in names]
    bars = axis.barh(names, [values[name] for name in names], color=colours, height=0.72)
    axis.bar_label(bars, [percent(values[name]) for name in names], padding=4, fontsize=8.5)
    axis.invert_yaxis()
    axis.set_xlim(0, 1.25)
    axis.set_xticks([])
    axis.spines[:].set_visible(False)
    axis.tick_params(axis="y", labelcolor=colour("ink"))
    axis.grid(visible=False)


def _line(rows: Sequence[Row], name: str) -> Line:
    found = line_of(rows, name, name)
    if found is None:
        sys.exit(f"the run logged no {name}; give a run of tvdim")
    return found


def _wrapped(text: str) -> str:
    words = text.split()
    half = math.ceil(len(words) / 2)
    return " ".join(words[:half]) + "\n" + " ".join(words[half:])


if __name__ == "__main__":
    if len(sys.argv) != 4 or sys.argv[1] not in ("demo", "curves"):
        sys.exit("usage: python docs/figures.py demo|curves RUN OUT.png")
    main(*sys.argv[1:])
