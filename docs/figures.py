"""Draws the picture of the README from a finished demo run.

Command: python docs/figures.py runs/demo docs/images/demo.png   (needs pip install -e ".[plots]")
"""

import math
import sys
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from PIL import Image

import tvdim_jax
from tvdim_jax.data.sources.scenes import Scenes
from tvdim_jax.experiment.run_folder import metrics_path, read_config
from tvdim_jax.train.metrics import read_rows

INK, BLUE, ORANGE, GREY = "#222222", "#0072b2", "#d55e00", "#999999"  # safe for colour blindness
UNSEEN_SEED = 7
ROWS = (1, 8, 14)  # scenes of that seed


def main(run: str, out: str) -> None:
    """Heat maps of unseen scenes on the left, the curve of mutual information on the right.

    Args:
      run: folder of a finished run of configs/demo.py.
      out: PNG to write.
    """
    mpl.rcParams.update({"font.family": "sans-serif", "font.size": 9, "text.color": INK})
    figure = plt.figure(figsize=(9.6, 3.5), layout="constrained")
    left, right = figure.subfigures(1, 2, width_ratios=(1.75, 1))
    _draw_maps(left.subplots(2, 2 * len(ROWS) // 2), run)
    _draw_curve(right.subplots(), Path(run))
    Path(out).parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out, dpi=160)


def _draw_maps(grid: np.ndarray, run: str) -> None:
    """Each scene above, and below it where the trained critic sees its first caption."""
    model = tvdim_jax.load(run)
    scenes = Scenes(100, seed=UNSEEN_SEED, image_size=32)
    for column, row in enumerate(ROWS):
        image = scenes.read_image(row)
        caption = scenes.captions(row)[2]
        scores = model.local_scores(image, caption)
        heat = Image.fromarray(scores).resize((128, 128), Image.Resampling.BICUBIC)
        big = np.asarray(Image.fromarray(image).resize((128, 128), Image.Resampling.NEAREST))
        grid[0, column].imshow(big)
        grid[0, column].set_title(_wrapped(caption), fontsize=8)
        grid[1, column].imshow(big.mean(axis=-1), cmap="gray", vmin=0, vmax=255)
        grid[1, column].imshow(np.asarray(heat), cmap="inferno", alpha=0.65)
    for axis in grid.flat:
        axis.axis("off")


def _draw_curve(axis: Axes, run: Path) -> None:
    rows = [row for row in read_rows(metrics_path(run)) if "train/loss" in row]
    steps = [row["step"] for row in rows]
    ceiling = math.log(read_config(run).train.batch_size)
    axis.plot(steps, [row["train/mi_image_text_nats"] for row in rows], color=BLUE, linewidth=2)
    axis.axhline(ceiling, color=GREY, linestyle="--", linewidth=1)
    axis.text(steps[-1], ceiling, "log N, the ceiling ", ha="right", va="bottom", color=GREY)
    axis.set_title("mutual information of image and text", fontsize=9)
    axis.set_xlabel("updates")
    axis.set_ylabel("InfoNCE lower bound, nats")
    axis.set_ylim(0, 1.12 * ceiling)
    axis.spines[["top", "right"]].set_visible(False)


def _wrapped(text: str) -> str:
    words = text.split()
    half = math.ceil(len(words) / 2)
    return " ".join(words[:half]) + "\n" + " ".join(words[half:])


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: python docs/figures.py RUN OUT.png")
    main(*sys.argv[1:])
