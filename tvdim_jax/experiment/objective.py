"""From config to the loss function of the train step: augmentation, encoders, objective."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.sharding import Mesh
from ml_collections import ConfigDict

from tvdim_jax.augment import make_two_views
from tvdim_jax.config import (
    is_downstream,
    reads_grey,
    uses_answers,
    uses_embeddings,
    uses_fusion,
    uses_image_pairs,
    uses_pair_nets,
    uses_sentences,
    uses_text,
)
from tvdim_jax.critics import make_pair_critic
from tvdim_jax.data.answers import MAX_ANSWERS
from tvdim_jax.data.squares import stored_side
from tvdim_jax.data.tokenizer import Tokenizer
from tvdim_jax.experiment.model import Model
from tvdim_jax.experiment.views import make_train_view
from tvdim_jax.objectives import (
    answer_objective,
    make_amdim_objective,
    make_assignment_objective,
    make_clip_objective,
    make_lmi_objective,
    make_srcl_objective,
    make_tvdim_objective,
    pair_objective,
)
from tvdim_jax.prng import named_key
from tvdim_jax.train.step import LossFn


class Words(NamedTuple):
    """What SRCL must know of a vocabulary to hide words.

    Attributes:
      vocab_size: word pieces.
      mask_id: the piece that stands for a hidden word.
      never_masked: ids that are never hidden.
    """

    vocab_size: int
    mask_id: int
    never_masked: tuple[int, ...]


def words_of(tokenizer: Tokenizer) -> Words:
    """The words of a tokenizer that has a mask.

    Raises:
      DataError: it has none.
    """
    mask_id = tokenizer.mask_id
    return Words(tokenizer.vocab_size, mask_id, (*tokenizer.added_ids, mask_id))


def make_loss_fn(
    config: ConfigDict, model: Model, mesh: Mesh | None = None, words: Words | None = None
) -> LossFn:
    """The loss of a stored batch: augmented views, then the objective the config names.

    Args:
      config: of the run.
      model: its encoders.
      mesh: over whose devices the batch is split; None for a batch on one device.
      words: of the run's vocabulary; needed for SRCL alone.
    """
    objective = make_objective(config, mesh, words)
    views = _views(config)

    def loss_fn(
        params: Any, variables: Any, batch: dict[str, jax.Array], *, key: jax.Array, step: jax.Array
    ) -> Any:
        batch = batch | views(named_key(key, "augment"), batch["image"])
        return objective(params, variables, batch, apply=model, key=key, step=step)

    return loss_fn


def _views(config: ConfigDict) -> Callable[[jax.Array, jax.Array], dict[str, Any]]:
    """What an objective finds in its batch beside the stored images."""
    if uses_image_pairs(config):
        return _views_of_pairs(make_train_view(config))
    if uses_sentences(config) or uses_pair_nets(config):
        one_view = make_train_view(config)
        return lambda key, images: {"view": one_view(key, images)}
    two_views = make_two_views(config.augment, config.model.image_size)
    return lambda key, images: {"views": two_views(key, images)}


def _views_of_pairs(
    view: Callable[[jax.Array, jax.Array], jax.Array],
) -> Callable[[jax.Array, jax.Array], dict[str, Any]]:
    """One view of the left and one of the right images, each with draws of its own."""

    def views(key: jax.Array, images: jax.Array) -> dict[str, Any]:
        sides = enumerate(("left", "right"))
        return {"views": tuple(view(named_key(key, side), images[:, at]) for at, side in sides)}

    return views


def make_objective(config: ConfigDict, mesh: Mesh | None = None, words: Words | None = None) -> Any:
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
    if is_downstream(config):
        return _downstream(config)
    if uses_fusion(config):
        return _make_srcl(config, mesh, words)
    if uses_embeddings(config):
        return make_clip_objective(**_regulation(config), mesh=mesh)
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


def _downstream(config: ConfigDict) -> Any:
    if uses_answers(config):
        return answer_objective
    if uses_image_pairs(config):
        return pair_objective
    return make_assignment_objective(group_size=config.objective.matching_group)


def _make_srcl(config: ConfigDict, mesh: Mesh | None, words: Words | None) -> Any:
    if words is None:
        raise ValueError("make_objective: got no words for srcl; hand in words_of(tokenizer)")
    options = config.objective
    return make_srcl_objective(
        **words._asdict(),
        **_regulation(config),
        mask_rate=options.mask_rate,
        contrast_weight=options.contrast_weight,
        matching_weight=options.matching_weight,
        word_weight=options.word_weight,
        matching_group=options.matching_group,
        average_decay=options.average_decay,
        distillation=options.distillation,
        distillation_steps=options.distillation_steps,
        mesh=mesh,
    )


def _regulation(config: ConfigDict) -> dict[str, Any]:
    """How CLIP and SRCL weigh their negatives; without a teacher its share is 0."""
    options = config.objective
    falls = options.teacher and options.teacher_schedule == "linear"
    return {
        "pair_loss": options.pair_loss,
        "norm": options.norm,
        "delta": options.delta,
        "weight_gradient": options.weight_gradient,
        "teacher_share": options.teacher_share if options.teacher else 0.0,
        "teacher_steps": (options.teacher_steps or config.train.num_steps) if falls else 0,
    }


def batch_shapes(config: ConfigDict) -> dict[str, jax.ShapeDtypeStruct]:
    """A global training batch, as the data room makes it; of sentences the largest."""
    rows, side = config.train.batch_size, config.data.image_size
    grey = (rows, stored_side(side), stored_side(side), 1), jnp.uint16
    shapes: dict[str, tuple[tuple[int, ...], Any]] = {
        "image": grey if reads_grey(config) else ((rows, side, side, 3), jnp.uint8),
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
    if uses_image_pairs(config):
        shapes["image"] = (rows, 2, side, side, 3), jnp.uint8
        shapes["label"] = (rows,), jnp.int32
    if uses_answers(config):
        answers = rows, MAX_ANSWERS, config.tokenizer.answer_length
        shapes["answer_token_ids"] = answers, jnp.int32
        shapes["answer_token_valid"] = answers, jnp.bool_
        shapes["answer_weight"] = answers[:2], jnp.float32
    if uses_text(config):
        shapes["token_ids"] = ((rows, length), jnp.int32)
        shapes["token_valid"] = ((rows, length), jnp.bool_)
    return {name: jax.ShapeDtypeStruct(*spec) for name, spec in shapes.items()}
