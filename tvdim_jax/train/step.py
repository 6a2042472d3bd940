"""One update: gradient, finite check, optimizer, metrics."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import optax

from tvdim_jax.prng import step_key
from tvdim_jax.train.state import TrainState

# loss_fn(params, variables, batch, *, key, step) -> (loss, (metrics, new_variables))
LossFn = Callable[..., tuple[jax.Array, tuple[Mapping[str, jax.Array], Any]]]
TrainStep = Callable[[TrainState, Any], tuple[TrainState, dict[str, jax.Array]]]


def make_train_step(loss_fn: LossFn, tx: optax.GradientTransformation) -> TrainStep:
    """Returns the pure function of one update.

    A loss or gradient that is not finite skips the update: parameters, statistics and optimizer
    stay as they were, only `step` and the two counters move.

    Args:
      loss_fn: `loss_fn(params, variables, batch, *, key, step) -> (loss, (metrics, variables))`;
        its randomness comes from `key`, which is folded from the root key and the step.
      tx: the optimizer.

    Returns:
      `train_step(state, batch) -> (state, metrics)`; metrics are float32 scalars by full name.
    """

    def train_step(state: TrainState, batch: Any) -> tuple[TrainState, dict[str, jax.Array]]:
        key = step_key(state.root_key, state.step)
        (loss, (metrics, variables)), grads = jax.value_and_grad(loss_fn, has_aux=True)(
            state.params, state.variables, batch, key=key, step=state.step
        )
        grad_norm = optax.tree.norm(grads)
        finite = jnp.isfinite(loss) & jnp.isfinite(grad_norm)
        updates, opt_state = tx.update(grads, state.opt_state, state.params)
        params = optax.apply_updates(state.params, updates)

        def keep_if_finite(new: Any, old: Any) -> Any:
            return jax.tree.map(lambda a, b: jnp.where(finite, a, b), new, old)

        skipped = 1 - finite.astype(jnp.int32)
        new_state = dataclasses.replace(
            state,
            step=state.step + 1,
            params=keep_if_finite(params, state.params),
            variables=keep_if_finite(variables, state.variables),
            opt_state=keep_if_finite(opt_state, state.opt_state),
            nonfinite_steps=state.nonfinite_steps + skipped,
            nonfinite_in_a_row=(state.nonfinite_in_a_row + 1) * skipped,
        )
        return new_state, {
            "train/loss": loss,
            "train/grad_norm": grad_norm,
            "train/nonfinite_steps": new_state.nonfinite_steps.astype(jnp.float32),
            "train/nonfinite_in_a_row": new_state.nonfinite_in_a_row.astype(jnp.float32),
            **metrics,
        }

    return train_step
