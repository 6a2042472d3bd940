"""Draws estimates of mutual information against the truth (needs pip install -e ".[plots]").

Command: python docs/figures_bounds.py docs/images/bounds.png

Gaussian vectors of 20 coordinates, x_d and y_d correlated and all else independent; the critic is
the true log p(y|x) / p(y), so what is seen is the estimate's own error. About a minute on 2 cores.
"""

import functools
import math
import sys
from collections.abc import Callable
from pathlib import Path

import jax
import jax.numpy as jnp
import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes

from tvdim_jax import losses
from tvdim_jax.critics import dot

NUM_PAIRS, NUM_BATCHES, WIDTH = 1024, 100, 20
TRUTHS = np.linspace(0, 10, 21)
INK, GREY = "#222222", "#767676"

Estimate = Callable[[jax.Array], jax.Array]  # scores [N, N] with the true critic -> scalar
ESTIMATES: dict[str, tuple[str, Estimate]] = {  # colours safe for colour blindness
    "InfoNCE": ("#0072b2", losses.info_nce_lower_bound),
    "Donsker-Varadhan": ("#d55e00", losses.donsker_varadhan_lower_bound),
    "NWJ": ("#cc79a7", lambda scores: losses.nwj_lower_bound(1 + scores)),
    "SMILE, clip 5": ("#009e73", losses.smile_lower_bound),
    "JSD objective": (GREY, losses.jsd_objective),
}


def main(out: str) -> None:
    """Draws the figure.

    Args:
      out: PNG to write.
    """
    mpl.rcParams.update({"font.family": "sans-serif", "font.size": 9, "text.color": INK})
    values = np.stack([estimates(truth) for truth in TRUTHS])  # [truths, batches, estimates]
    figure, axes = plt.subplots(1, len(ESTIMATES), figsize=(10.4, 2.7), layout="constrained")
    for index, (axis, (name, (color, _))) in enumerate(zip(axes, ESTIMATES.items(), strict=True)):
        _draw(axis, values[..., index], color)
        axis.set_title(name, fontsize=10, color=color, fontweight="bold")
        if name == "JSD objective":
            _describe_jsd(axis)
        else:
            _describe_bound(axis, first=index == 0)
    figure.supxlabel("true mutual information, nats", fontsize=9, color=INK)
    Path(out).parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out, dpi=160)


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
    return jnp.stack([estimate(scores) for _, estimate in ESTIMATES.values()])


def _draw(axis: Axes, values: np.ndarray, color: str) -> None:
    """Mean over batches, and the range of 9 batches in 10."""
    low, high = np.quantile(values, (0.05, 0.95), axis=1)
    axis.fill_between(TRUTHS, low, high, color=color, alpha=0.22, linewidth=0)
    axis.plot(TRUTHS, values.mean(axis=1), color=color, linewidth=2)
    axis.set_xlim(0, 10)
    axis.set_xticks([0, 5, 10])
    axis.spines[["top", "right"]].set_visible(False)


def _describe_bound(axis: Axes, *, first: bool) -> None:
    ceiling = math.log(NUM_PAIRS)
    axis.plot([0, 10], [0, 10], color=INK, linewidth=0.8, zorder=0)
    axis.axhline(ceiling, color=GREY, linestyle="--", linewidth=0.9, zorder=0)
    axis.set_ylim(0, 14)
    axis.set_yticks([0, 5, 10])
    if first:
        axis.set_ylabel("estimate, nats")
        axis.text(0.2, ceiling + 0.15, "log N", color=GREY, fontsize=8)
    else:
        axis.set_yticklabels([])


def _describe_jsd(axis: Axes) -> None:
    axis.set_ylim(-2 * math.log(2), 0.02)
    axis.set_yticks([-2 * math.log(2), 0], ["-2 log 2", "0"])


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python docs/figures_bounds.py OUT.png")
    main(sys.argv[1])
