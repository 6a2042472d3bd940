"""From config to the loss function of the train step: augmentation, encoders, objective."""

from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import Mesh
from ml_collections import ConfigDict

from tvdim_jax.augment import make_two_views
from tvdim_jax.config import uses_text
from tvdim_jax.experiment.model import Model
from tvdim_jax.objectives import make_amdim_objective, make_tvdim_objective
from tvdim_jax.prng import named_key
from tvdim_jax.train.step import LossFn


def make_loss_fn(config: ConfigDict, model: Model, mesh: Mesh | None = None) -> LossFn:
    """The loss of a uint8 batch: two augmented views, then the objective the config names.

    Args:
      config: of the run.
      model: its encoders.
      mesh: over whose devices the batch is split; None for a batch on one device.
    """
    two_views = make_two_views(config.augment, config.model.image_size)
    objective = make_objective(config, mesh)

    def loss_fn(
        params: Any, variables: Any, batch: dict[str, jax.Array], *, key: jax.Array, step: jax.Array
    ) -> Any:
        views = two_views(named_key(key, "augment"), batch["image"])
        return objective(
            params, variables, {**batch, "views": views}, apply=model, key=key, step=step
        )

    return loss_fn


def make_objective(config: ConfigDict, mesh: Mesh | None = None) -> Any:
    """The objective the config names; TVDIM at text weight 0 is AMDIM."""
    options = config.objective
    if not uses_text(config):
        return make_amdim_objective(clip=options.clip, mesh=mesh)
    negatives = options.negatives
    return make_tvdim_objective(
        pair_loss=options.pair_loss,
        text_weight=options.text_weight,
        image_loss=options.image_loss,
        margin=options.margin,
        negatives=int(negatives) if negatives.isdigit() else negatives,
        temperature=options.temperature,
        scales=tuple(options.scales),
        region_pool=options.region_pool,
        clip=options.clip,
        mesh=mesh,
    )


def batch_shapes(config: ConfigDict) -> dict[str, jax.ShapeDtypeStruct]:
    """A global training batch, as the data room makes it."""
    rows, side = config.train.batch_size, config.data.image_size
    shapes = {
        "image": ((rows, side, side, 3), jnp.uint8),
        "image_id": ((rows,), jnp.int32),
        "text_id": ((rows,), jnp.int32),
        "where": ((rows,), jnp.bool_),
    }
    if uses_text(config):
        length = config.tokenizer.max_length
        shapes["token_ids"] = ((rows, length), jnp.int32)
        shapes["token_valid"] = ((rows, length), jnp.bool_)
    return {name: jax.ShapeDtypeStruct(*spec) for name, spec in shapes.items()}
