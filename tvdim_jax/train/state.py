"""Everything that moves during training, as one tree that one checkpoint holds."""

from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import optax


@flax.struct.dataclass
class TrainState:
    """The state after `step` updates; the data position is a function of `step`.

    Attributes:
      step: int32 scalar, updates done; a skipped update counts.
      params: trained parameters.
      variables: what moves without a gradient, such as `{"batch_stats": ...}`.
      opt_state: state of the optax transformation.
      root_key: typed PRNG key of the run; each step folds its own key from it.
      nonfinite_steps: int32 scalar, updates skipped because loss or gradient was not finite.
      nonfinite_in_a_row: int32 scalar, how many of the latest updates were skipped.
    """

    step: jax.Array
    params: Any
    variables: Any
    opt_state: optax.OptState
    root_key: jax.Array
    nonfinite_steps: jax.Array
    nonfinite_in_a_row: jax.Array


def new_state(
    params: Any, variables: Any, tx: optax.GradientTransformation, root_key: jax.Array
) -> TrainState:
    """The state before the first update."""
    # Three arrays, not one three times: a donated buffer may occur only once.
    step, skipped, in_a_row = (jnp.zeros((), jnp.int32) for _ in range(3))
    return TrainState(step, params, variables, tx.init(params), root_key, skipped, in_a_row)
