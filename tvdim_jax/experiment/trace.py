"""A dry run: the loss of one batch, without data and without computing."""

from functools import partial

import jax
from ml_collections import ConfigDict

from tvdim_jax.experiment.model import make_model
from tvdim_jax.experiment.objective import batch_shapes, make_loss_fn


def trace(config: ConfigDict) -> dict[str, jax.ShapeDtypeStruct]:
    """Traces the loss of the config; what fails here would fail at the first update.

    Args:
      config: checked; its data need not exist.

    Returns:
      The metrics of the objective, by name.

    Raises:
      ValueError: names or sizes that do not fit together, in the words of the room concerned.
    """
    model = make_model(config, config.tokenizer.vocab_size)
    loss_fn, key = make_loss_fn(config, model), jax.random.key(0)
    params, variables = jax.eval_shape(model.init, key)
    loss_of_batch = partial(loss_fn, key=key, step=0)
    _, (metrics, _) = jax.eval_shape(loss_of_batch, params, variables, batch_shapes(config))
    return metrics
