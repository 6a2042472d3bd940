"""From config to the loss function of the train step: augmentation, encoders, objective."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import Mesh
from ml_collections import ConfigDict

from tvdim_jax.augment import make_two_views
from tvdim_jax.config import uses_sentences, uses_text
from tvdim_jax.critics import make_pair_critic
from tvdim_jax.data.squares import stored_side
from tvdim_jax.experiment.model import Model
from tvdim_jax.experiment.views import make_train_view
from tvdim_jax.objectives import make_amdim_objective, make_lmi_objective, make_tvdim_objective
from tvdim_jax.prng import named_key
from tvdim_jax.train.step import LossFn


def make_loss_fn(config: ConfigDict, model: Model, mesh: Mesh | None = None) -> LossFn:
    """The loss of a stored batch: augmented views, then the objective the config names.

    Args:
      config: of the run.
      model: its encoders.
      mesh: over whose devices the batch is split; None for a batch on one device.
    """
    objective = make_objective(config, mesh)
    views = _views(config)

    def loss_fn(
        params: Any, variables: Any, batch: dict[str, jax.Array], *, key: jax.Array, step: jax.Array
    ) -> Any:
        batch = batch | views(named_key(key, "augment"), batch["image"])
        return objective(params, variables, batch, apply=model, key=key, step=step)

    return loss_fn


def _views(config: ConfigDict) -> Callable[[jax.Array, jax.Array], dict[str, Any]]:
    """What an objective finds in its batch beside the stored images."""
    if uses_sentences(config):
        one_view = make_train_view(config)
        return lambda key, images: {"view": one_view(key, images)}
    two_views = make_two_views(config.augment, config.model.image_size)
    return lambda key, images: {"views": two_views(key, images)}


def make_objective(config: ConfigDict, mesh: Mesh | None = None) -> Any:
    """The objective the config names; TVDIM at text weight 0 is AMDIM."""
    options = config.objective
    if uses_sentences(config):
        return make_lmi_objective(
            critic=make_pair_critic(config.model.critic, config.model.critic_hidden),
            region_map=options.region_map,
            estimator=options.estimator,
            local_weight=options.local_weight,
            global_weight=options.global_weight,
            region_pool=options.region_pool,
            negative_regions=options.negative_regions,
            sentence_mean=options.sentence_mean,
            mesh=mesh,
        )
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
        norm=options.norm,
        delta=options.delta,
        scales=tuple(options.scales),
        region_pool=options.region_pool,
        clip=options.clip,
        mesh=mesh,
    )


def batch_shapes(config: ConfigDict) -> dict[str, jax.ShapeDtypeStruct]:
    """A global training batch, as the data room makes it; of sentences the largest."""
    rows, side = config.train.batch_size, config.data.image_size
    grey = (rows, stored_side(side), stored_side(side), 1), jnp.uint16
    shapes: dict[str, tuple[tuple[int, ...], Any]] = {
        "image": grey if config.data.grey else ((rows, side, side, 3), jnp.uint8),
        "image_id": ((rows,), jnp.int32),
        "where": ((rows,), jnp.bool_),
    }
    length = config.tokenizer.max_length
    if uses_sentences(config):
        sentences = config.data.max_sentences
        shapes["study_id"] = ((rows,), jnp.int32)
        for name in ("sentence_index", "sentence_id"):
            shapes[name] = ((rows, sentences), jnp.int32)
        shapes["sentence_token_ids"] = ((rows * sentences, length), jnp.int32)
        shapes["sentence_token_valid"] = ((rows * sentences, length), jnp.bool_)
        return {name: jax.ShapeDtypeStruct(*spec) for name, spec in shapes.items()}
    shapes["text_id"] = ((rows,), jnp.int32)
    if uses_text(config):
        shapes["token_ids"] = ((rows, length), jnp.int32)
        shapes["token_valid"] = ((rows, length), jnp.bool_)
    return {name: jax.ShapeDtypeStruct(*spec) for name, spec in shapes.items()}
