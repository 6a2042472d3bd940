"""A dry run: the shapes of the state and of one update, without data and without computing."""

from typing import Any

import jax
from ml_collections import ConfigDict

from tvdim_jax.experiment.model import make_model
from tvdim_jax.experiment.objective import batch_shapes, make_loss_fn
from tvdim_jax.experiment.training import init_state, optimizer_of
from tvdim_jax.train.state import TrainState
from tvdim_jax.train.step import make_train_step


def trace(config: ConfigDict) -> tuple[TrainState, dict[str, Any]]:
    """Traces one update of the config; what fails here would fail at the first update.

    Args:
      config: checked; its data need not exist.

    Returns:
      The state after the update and its metrics, as `jax.ShapeDtypeStruct`.
    """
    model = make_model(config, config.tokenizer.vocab_size)
    tx = optimizer_of(config)
    state = jax.eval_shape(lambda: init_state(config, model, tx))
    step = make_train_step(make_loss_fn(config, model), tx)
    return jax.eval_shape(step, state, batch_shapes(config))
