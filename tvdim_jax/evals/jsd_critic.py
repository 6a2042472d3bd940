"""A small critic, trained on features of pairs to tell true pairs from others.

It learns the log density ratio of the pairs, whatever the encoders were trained with, so that
`mi_estimate` can tell what the features share apart from what their own critic makes of it.
"""

import math
from collections.abc import Mapping
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from tvdim_jax.evals.features import check_features
from tvdim_jax.evals.score_tiles import ScoreTile
from tvdim_jax.losses.mi_bounds import jsd_objective
from tvdim_jax.prng import named_key

HIDDEN, EMBEDDING, BATCH = 128, 64, 128
STOP_SHARE, MOST_STOP_ROWS = 0.15, 1024
FEWEST_PAIRS = 16
_ADAM = optax.adamw(3e-3, weight_decay=0.5)

Side = Mapping[str, jax.Array]


class JsdCritic(NamedTuple):
    """A trained critic.

    Attributes:
      params: {"x": ..., "y": ...}, the network of either side.
      mean: {"x": [D_x], "y": [D_y]}, taken from the features first.
      std: alike, what they are divided by then.
      epoch: after which its weights were taken, 0 = untrained: nothing could be learned.
      stop_objective: JSD objective on the stopping pairs there; -2 log 2 = it knows nothing.
    """

    params: dict[str, Side]
    mean: dict[str, np.ndarray]
    std: dict[str, np.ndarray]
    epoch: int
    stop_objective: float

    def score_tile(self, x: np.ndarray, y: np.ndarray) -> ScoreTile:
        """Scores of pairs by their rows, for `mi_estimate.estimate`.

        Args:
          x: held-out features `[n, D_x]`.
          y: their partners `[n, D_y]`.
        """
        inputs = {
            "x": (x - self.mean["x"]) / self.std["x"],
            "y": (y - self.mean["y"]) / self.std["y"],
        }
        return lambda rows, columns: _scores(
            self.params, jnp.float32(inputs["x"][rows]), jnp.float32(inputs["y"][columns])
        )


def fit(x: np.ndarray, y: np.ndarray, *, epochs: int = 30, seed: int = 0) -> JsdCritic:
    """Trains a critic on pairs that are not used for the estimate.

        s_ij = <g(x_i), h(y_j)> / sqrt(64) + a(x_i) + b(y_j)

    All four are linear plus one hidden layer of 128. Trained by AdamW on batches of 128 pairs; the
    epoch is chosen on 15 % of the pairs, which do not train. What it finds on held-out pairs is a
    floor: with few pairs in many dimensions it finds little of what is there.

    Args:
      x: features `[n, D_x]`, n >= 16.
      y: their partners `[n, D_y]`.
      epochs: at most.
      seed: of initial values, split and order.

    Returns:
      The critic.

    Raises:
      ValueError: features that are not finite, or too few or unpaired.
    """
    check_features(x, "x features")
    check_features(y, "y features")
    if len(x) != len(y) or len(x) < FEWEST_PAIRS or epochs < 1:
        raise ValueError(
            f"JSD critic: got {len(x)} and {len(y)} features and {epochs} epochs, wanted pairs, at "
            f"least {FEWEST_PAIRS}, and at least 1 epoch; take more training pairs"
        )
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(x))
    num_stop = min(max(2, round(STOP_SHARE * len(x))), MOST_STOP_ROWS)
    stop, train = order[:num_stop], order[num_stop:]
    sides = {"x": np.asarray(x, np.float64), "y": np.asarray(y, np.float64)}
    mean = {name: side[train].mean(axis=0) for name, side in sides.items()}
    std = {name: _deviation(side[train], mean[name]) for name, side in sides.items()}
    inputs = {name: jnp.float32((side - mean[name]) / std[name]) for name, side in sides.items()}
    key = jax.random.key(seed)
    params = {name: _init(named_key(key, name), each.shape[1]) for name, each in inputs.items()}
    opt_state = _ADAM.init(params)
    batch = min(BATCH, len(train))
    best = params, 0, float(_objective(params, inputs, jnp.asarray(stop)))
    for epoch in range(1, epochs + 1):
        rows = rng.permutation(train)[: len(train) // batch * batch].reshape(-1, batch)
        params, opt_state = _epoch((params, opt_state), inputs, jnp.asarray(rows))
        reached = float(_objective(params, inputs, jnp.asarray(stop)))
        if reached > best[2]:
            best = params, epoch, reached
    return JsdCritic(best[0], mean, std, best[1], best[2])


def _deviation(rows: np.ndarray, mean: np.ndarray) -> np.ndarray:
    """Standard deviation of each coordinate, 1 where it is constant but for rounding.

    A unit that is dead on these rows may be alive on held-out ones, and must not drown the others.
    """
    std = rows.std(axis=0)
    return np.where(std > 1e-6 * np.abs(mean), std, 1.0)


@partial(jax.jit, static_argnums=1)
def _init(key: jax.Array, width: int) -> dict[str, jax.Array]:
    """A side's network; what it gives beside the linear part starts at zero."""
    uniform = jax.random.uniform(key, (width, HIDDEN + EMBEDDING), minval=-1.0)
    drawn = uniform * math.sqrt(3 / width)  # of variance 1 / width
    return {
        "hidden": drawn[:, :HIDDEN],
        "hidden_bias": jnp.zeros(HIDDEN),
        "curved": jnp.zeros((HIDDEN, EMBEDDING + 1)),
        "linear": jnp.pad(0.1 * drawn[:, HIDDEN:], ((0, 0), (0, 1))),
    }


def _side(net: Side, inputs: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Embedding `[n, 64]` and the scalar of the side `[n]`."""
    hidden = jax.nn.gelu(inputs @ net["hidden"] + net["hidden_bias"][None, :])
    out = hidden @ net["curved"] + inputs @ net["linear"]
    return out[:, :-1], out[:, -1]


@jax.jit
def _scores(params: dict[str, Side], x: jax.Array, y: jax.Array) -> jax.Array:
    """`[n, m]`."""
    (left, a), (right, b) = _side(params["x"], x), _side(params["y"], y)
    return left @ right.T / math.sqrt(EMBEDDING) + a[:, None] + b[None, :]


@jax.jit
def _objective(params: dict[str, Side], inputs: dict[str, Any], rows: jax.Array) -> jax.Array:
    return jsd_objective(_scores(params, inputs["x"][rows], inputs["y"][rows]))


@jax.jit
def _epoch(state: Any, inputs: dict[str, jax.Array], rows: jax.Array) -> Any:
    """The updates on the batches `rows` `[S, B]`."""

    def step(state: Any, batch: jax.Array) -> tuple[Any, None]:
        params, opt_state = state
        grads = jax.grad(lambda p: -_objective(p, inputs, batch))(params)
        updates, opt_state = _ADAM.update(grads, opt_state, params)
        return (optax.apply_updates(params, updates), opt_state), None

    return jax.lax.scan(step, state, rows)[0]
