"""Draws estimates of mutual information against the truth, and prints some of their numbers.

Command: python docs/figures_bounds.py docs/images/bounds.png

Gaussian vectors of 20 coordinates, x_d and y_d correlated and all else independent; the critic is
the true log p(y|x) / p(y), so what is seen is the estimate's own error. Lines are means of 100
batches of 1,024 pairs, bands hold 9 batches in 10. About a minute on 2 cores.
"""

import functools
import math
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tvdim_jax import losses
from tvdim_jax.critics import dot
from tvdim_jax.report.figures import write_both_themes
from tvdim_jax.report.style import DASHED, colour

NUM_PAIRS, NUM_BATCHES, WIDTH = 1024, 100, 20
TRUTHS = np.linspace(0, 16, 33)


class Panel(NamedTuple):
    """A curve: its colour, what to see in it, and what it draws."""

    colour: str
    note: str
    estimate: Callable[[jax.Array], jax.Array]  # scores [N, N] by the true critic -> scalar


PANELS = {
    "InfoNCE": Panel("blue", "steady, never above log M", losses.info_nce_lower_bound),
    "Donsker-Varadhan": Panel(
        "vermilion", "no ceiling, spreads, too high", losses.donsker_varadhan_lower_bound
    ),
    "NWJ": Panel(
        "purple", "no ceiling, spreads most", lambda scores: losses.nwj_lower_bound(1 + scores)
    ),
    "SMILE, clip 5": Panel("green", "no ceiling, steady, too high", losses.smile_lower_bound),
    "JSD objective": Panel("muted", "trains; estimates nothing", losses.jsd_objective),
}


def main(out: str) -> None:
    """Draws the figure.

    Args:
      out: PNG to write; the dark one lies beside it.
    """
    values = np.stack([estimates(truth) for truth in TRUTHS])  # [truths, batches, estimates]
    _print(values)
    write_both_themes(lambda: draw(values), Path(out))


def draw(values: np.ndarray) -> Figure:
    """A panel for each estimate of `[truths, batches, estimates]`."""
    figure = Figure(figsize=(10.4, 2.8))
    axes = figure.subplots(1, len(PANELS))
    for index, (axis, (name, panel)) in enumerate(zip(axes, PANELS.items(), strict=True)):
        _draw(axis, values[..., index], colour(panel.colour))
        axis.set_title(name, color=colour(panel.colour), pad=16)
        _note(axis, 0, 1.03, panel.note, transform=axis.transAxes)
        if name == "JSD objective":
            _describe_jsd(axis)
        else:
            _describe_bound(axis, first=index == 0)
    figure.supxlabel("true mutual information, nats", fontsize=9, color=colour("muted"))
    return figure


def _print(values: np.ndarray) -> None:
    """Mean and standard deviation over batches."""
    print("truth", *PANELS, sep=" | ")
    for truth in (2, 5, 10, 15):
        (batches,) = values[truth == TRUTHS]
        cells = zip(batches.mean(axis=0), batches.std(axis=0), strict=True)
        print(truth, *(f"{mean:.2f} ± {std:.2f}" for mean, std in cells), sep=" | ")


def estimates(truth: float) -> np.ndarray:
    """Every estimate of `NUM_BATCHES` batches with `truth` nats -> `[batches, estimates]`."""
    correlation = math.sqrt(1 - math.exp(-2 * truth / WIDTH))
    keys = jax.random.split(jax.random.key(0), NUM_BATCHES)
    return np.asarray(_of_batches(keys, correlation))


@jax.jit
def _of_batches(keys: jax.Array, correlation: jax.Array) -> jax.Array:
    return jax.lax.map(functools.partial(_of_batch, correlation), keys)


def _of_batch(correlation: jax.Array, key: jax.Array) -> jax.Array:
    x, noise = jax.random.normal(key, (2, NUM_PAIRS, WIDTH))
    rest = 1 - correlation**2
    y = correlation * x + jnp.sqrt(rest) * noise
    squares = [jnp.sum(side**2, axis=1) for side in (x, y)]
    scores = correlation * dot((), x, y)
    scores -= correlation**2 / 2 * (squares[0][:, None] + squares[1][None])
    scores = scores / rest - WIDTH / 2 * jnp.log(rest)
    return jnp.stack([panel.estimate(scores) for panel in PANELS.values()])


def _draw(axis: Axes, values: np.ndarray, color: str) -> None:
    """Mean over batches, and the range of 9 batches in 10."""
    low, high = np.quantile(values, (0.05, 0.95), axis=1)
    axis.fill_between(TRUTHS, low, high, color=color, alpha=0.22, linewidth=0)
    axis.plot(TRUTHS, values.mean(axis=1), color=color)
    axis.set_xlim(0, 16)
    axis.set_xticks([0, 5, 10, 15])
    axis.grid(visible=False, axis="x")


def _describe_bound(axis: Axes, *, first: bool) -> None:
    ceiling = math.log(NUM_PAIRS)
    axis.plot([0, 16], [0, 16], color=colour("ink"), linewidth=0.8, zorder=1)
    axis.axhline(ceiling, color=colour("muted"), linestyle=DASHED, linewidth=1, zorder=1)
    axis.set_ylim(0, 20)
    axis.set_yticks([0, 5, 10, 15, 20])
    if first:
        axis.set_ylabel("estimate, nats")
        _note(axis, 0.4, ceiling + 0.35, f"log {NUM_PAIRS:,}")
        axis.text(12.2, 12.6, "truth", ha="right", fontsize=8)
    else:
        axis.set_yticklabels([])


def _describe_jsd(axis: Axes) -> None:
    axis.set_ylim(-2 * math.log(2), 0.02)
    axis.set_yticks([-2 * math.log(2), -1, -0.5, 0], ["-1.39", "-1", "-0.5", "0"])
    axis.set_ylabel("objective, not nats")
    _note(axis, 3.2, -1.34, "-2 log 2: no information")


def _note(axis: Axes, x: float, y: float, text: str, **how: Any) -> None:
    axis.text(x, y, text, color=colour("muted"), fontsize=8, **how)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python docs/figures_bounds.py OUT.png")
    main(sys.argv[1])
