"""AdamW as the first BERT releases had it: no bias correction, the decay after the step."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

_NEVER_DECAY = frozenset({"bias", "scale"})  # scale: the factor of a layer norm or batch norm


def make_linear_schedule(
    *, learning_rate: float, warmup_steps: int, num_steps: int
) -> optax.Schedule:
    """Learning rate of update t, counted from 0: up from 0, then down to 0, both linearly.

    `learning_rate * t / warmup_steps` before `warmup_steps`, so that the first update has the rate
    0, and `learning_rate * (num_steps - t) / (num_steps - warmup_steps)` from there on, never below
    0 (WarmupLinearSchedule of pytorch-transformers 1.0).

    Args:
      learning_rate: peak, that of update `warmup_steps`.
      warmup_steps: updates before the peak; 0 starts there.
      num_steps: updates of the run, after which the rate is 0.

    Returns:
      A function of the update number.

    Raises:
      ValueError: a warm-up that is negative or leaves no update behind it.
    """
    if not 0 <= warmup_steps < num_steps:
        raise ValueError(
            f"linear schedule: got {warmup_steps} warm-up updates of {num_steps}, wanted at least "
            "0 and fewer than the run has; a tenth of the run is usual"
        )

    def schedule(count: jax.typing.ArrayLike) -> jax.Array:
        t = jnp.asarray(count, jnp.float32)
        up = t / max(1, warmup_steps)
        down = (num_steps - t) / (num_steps - warmup_steps)
        return learning_rate * jnp.where(t < warmup_steps, up, jnp.maximum(down, 0))

    return schedule


def all_but_biases_and_scales(params: Any) -> Any:
    """Tree of bool: True, the leaf decays, for every leaf that is not named "bias" or "scale".

    The name decides and not the number of axes: layers that are stacked along a first axis have
    biases of two.
    """

    def decays(path: tuple[Any, ...], _: Any) -> bool:
        return jax.tree_util.keystr(path[-1:], simple=True) not in _NEVER_DECAY

    return jax.tree_util.tree_map_with_path(decays, params)


def adamw_without_bias_correction(
    schedule: optax.Schedule,
    *,
    b1: float = 0.9,
    b2: float = 0.999,
    eps: float = 1e-6,
    weight_decay: float = 0.1,
    decays: Callable[[Any], Any] = all_but_biases_and_scales,
) -> optax.GradientTransformation:
    """AdamW of pytorch-transformers 1.0, with `correct_bias=False`.

    With the rate l of update t, gradient g and parameter p:

        m = b1 m + (1 - b1) g
        v = b2 v + (1 - b2) g^2
        p = p - l m / (sqrt(v) + eps)
        p = p - l weight_decay p        the p of the line above; decaying leaves only

    Args:
      schedule: learning rate of update t.
      b1: decay of the first moment.
      b2: decay of the second moment.
      eps: added to the root of the second moment.
      weight_decay: factor of the decoupled decay.
      decays: params -> tree of bool, True for the leaves that decay.

    Returns:
      The optax transformation; its state is optax's ScaleByAdamState. An update needs the
      parameters.
    """

    def init(params: Any) -> optax.ScaleByAdamState:
        mu, nu = (jax.tree.map(jnp.zeros_like, params) for _ in range(2))
        return optax.ScaleByAdamState(jnp.zeros((), jnp.int32), mu, nu)

    def update(
        grads: Any, state: optax.ScaleByAdamState, params: Any = None
    ) -> tuple[Any, optax.ScaleByAdamState]:
        if params is None:
            raise ValueError(
                "adamw_without_bias_correction: got no parameters, which the decay needs; call "
                "update(grads, state, params)"
            )
        rate = schedule(state.count)
        mu = jax.tree.map(lambda g, m: b1 * m + (1 - b1) * g, grads, state.mu)
        nu = jax.tree.map(lambda g, v: b2 * v + (1 - b2) * jnp.square(g), grads, state.nu)

        def change(p: jax.Array, m: jax.Array, v: jax.Array, decay: bool) -> jax.Array:
            step = -rate * m / (jnp.sqrt(v) + eps)
            return step - rate * weight_decay * (p + step) if decay else step

        updates = jax.tree.map(change, params, mu, nu, decays(params))
        count = optax.safe_increment(state.count)
        return updates, optax.ScaleByAdamState(count, mu, nu)

    return optax.GradientTransformation(init, update)
