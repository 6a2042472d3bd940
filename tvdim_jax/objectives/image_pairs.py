"""Sentences about two images: true or false of them (NLVR2), or which of the two they belong to.

Beside what `embeddings` lists, `apply` holds

- `pair_fusion(params, tokens [B, T, D], token_valid [B, T], images [B, 2, K, D_image], *, train,
  key) -> Features` of texts that have seen two images;
- `pair_head(params, fused [B, D]) -> logits [B, 2]`, the second class "true";
- `assignment_head(params, fused [B, D]) -> logits [B, 3]`: first image, second image, neither.
"""

from collections.abc import Mapping
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from tvdim_jax.losses.masks import pair_masks
from tvdim_jax.losses.matching import draw_negatives, label_accuracy, label_loss
from tvdim_jax.objectives.base import Metrics, Objective
from tvdim_jax.objectives.embeddings import Encoded, encode
from tvdim_jax.objectives.fused import image_tokens
from tvdim_jax.objectives.groups import checked_group, interleave, of_groups
from tvdim_jax.objectives.temperature import bounded_temperature
from tvdim_jax.precision import einsum_float32
from tvdim_jax.prng import named_key

_FIRST, _SECOND, _NEITHER = range(3)


def pair_objective(
    params: Any,
    variables: Any,
    batch: Mapping[str, Any],
    *,
    apply: Any,
    key: jax.Array,
    step: jax.Array | int,  # noqa: ARG001 - as every objective
) -> tuple[jax.Array, tuple[Metrics, Any]]:
    """The objective of NLVR2: is the sentence true of the two images? Cross-entropy.

    Args:
      params: of encoders, pair fusion and its head.
      variables: what moves without a gradient.
      batch: see `pair_logits`, with "label" int `[B]`, 1 = true, and "where" bool `[B]`.
      apply: see the module.
      key: the step's key.
      step: has no say.

    Returns:
      The loss (nats), its mean over the real rows, and "train/pair_loss", "train/pair_accuracy"
      with the new variables.

    Source: Li et al. 2021 (arXiv 2107.07651), section 5.
    """
    logits, variables = pair_logits(params, variables, batch, apply=apply, train=True, key=key)
    return _scored("pair", logits, batch["label"], batch["where"], variables)


def pair_logits(
    params: Any,
    variables: Any,
    batch: Mapping[str, Any],
    *,
    apply: Any,
    train: bool,
    key: jax.Array,
) -> tuple[jax.Array, Any]:
    """Whether each sentence is true of its two images.

    Args:
      params: see `pair_objective`.
      variables: see `pair_objective`.
      batch: "views", two arrays `[B, s, s, C]`, the left and the right images; "token_ids" and
        "token_valid" `[B, T]`.
      apply: see the module.
      train: in training mode.
      key: the step's key; any in evaluation mode.

    Returns:
      Logits `[B, 2]`, the second one "true", and the new variables.
    """
    views = interleave(*batch["views"])
    image, variables = apply.image(
        params, variables, views, train=train, key=named_key(key, "image")
    )
    tokens = batch["token_ids"], batch["token_valid"]
    text, variables = apply.text(
        params, variables, *tokens, train=train, key=named_key(key, "text_dropout")
    )
    seen = image_tokens(image)
    fused = apply.pair_fusion(
        params,
        text.local_features["tokens"],
        batch["token_valid"],
        seen.reshape(-1, 2, *seen.shape[1:]),
        train=train,
        key=named_key(key, "pair_dropout"),
    )
    return apply.pair_head(params, fused.global_features), variables


def make_assignment_objective(*, neither_rate: float = 1 / 3, group_size: int = 64) -> Objective:
    """Text assignment, which pre-trains the pair fusion: which of two images does a text describe?

    One time in three it is neither of them. The wrong images are drawn by their similarity to the
    right one, `softmax(cos / temperature)` over the other images of a group of the batch, except
    those that share an image or a text with it.

    Args:
      neither_rate: in [0, 1], chance of two wrong images.
      group_size: pairs of the global batch out of which wrong images are drawn; a smaller batch is
        one group, else it must be a multiple.

    Returns:
      An objective as of `make_clip_objective`, whose params also hold pair fusion and assignment
      head, and whose `apply` is that of the module. A row without a wrong image does not count, one
      with a single one is never "neither". Its metrics are "train/assignment_loss" and
      "train/assignment_accuracy".

    Raises:
      ValueError: an option out of its range; when traced, a batch that is no multiple of the group.

    Source: Li et al. 2021 (arXiv 2107.07651), appendix on NLVR2.
    """
    if not 0 <= neither_rate <= 1:
        raise ValueError(f"neither_rate: got {neither_rate}, wanted 0..1; 1/3 is ALBEF's")
    return partial(_assignment, neither_rate, group_size)


def _assignment(
    neither_rate: float,
    group_size: int,
    params: Any,
    variables: Any,
    batch: Mapping[str, Any],
    *,
    apply: Any,
    key: jax.Array,
    step: jax.Array | int,  # noqa: ARG001 - as every objective
) -> tuple[jax.Array, tuple[Metrics, Any]]:
    temperature = bounded_temperature(params["temperature"])
    encoded, variables = encode(params, variables, batch, apply=apply, train=True, key=key)
    drawn = _draw(encoded, temperature, neither_rate, group_size, key)
    own = image_tokens(encoded.image)
    wrong, other = (of_groups(own, places) for places in (drawn.wrong, drawn.other))

    def choose(label: int, yes: jax.Array, no: jax.Array) -> jax.Array:
        return jnp.where((drawn.label == label)[:, None, None], yes, no)

    first = choose(_FIRST, own, wrong)
    second = choose(_SECOND, own, choose(_NEITHER, other, wrong))
    fused = apply.pair_fusion(
        params,
        encoded.text.local_features["tokens"],
        batch["token_valid"],
        jnp.stack([first, second], axis=1),
        train=True,
        key=named_key(key, "pair_dropout"),
    )
    logits = apply.assignment_head(params, fused.global_features)
    where = drawn.exists & encoded.sides["text"]["where"]
    return _scored("assignment", logits, drawn.label, where, variables)


class _Drawn(NamedTuple):
    """Two different wrong images `[G, n]`; if there is one, and what is to be said, `[B]`."""

    wrong: jax.Array
    other: jax.Array
    exists: jax.Array
    label: jax.Array


def _draw(
    encoded: Encoded, temperature: jax.Array, neither_rate: float, group_size: int, key: jax.Array
) -> _Drawn:
    image = encoded.sides["image"]
    num = len(image["where"])
    size = checked_group(num, group_size)
    vectors, where, ids = (
        image[name].reshape(-1, size, *image[name].shape[1:])
        for name in ("embedding", "where", "group_id")
    )
    masks = pair_masks(
        (*where.shape, size), x_where=where, y_where=where, x_group_id=ids, y_group_id=ids
    )
    logits, temperature = jax.lax.stop_gradient(
        (einsum_float32("gid,gjd->gij", vectors, vectors), temperature)
    )
    logits = logits / temperature
    wrong, exists = draw_negatives(named_key(key, "wrong_image"), logits, masks.negative)
    rest = masks.negative & (jnp.arange(size)[None, None, :] != wrong[:, :, None])
    other, two_exist = draw_negatives(named_key(key, "other_image"), logits, rest)
    draws = jax.random.uniform(named_key(key, "assignment"), (num, 2))
    neither = (draws[:, 0] < neither_rate) & two_exist.reshape(-1)
    label = jnp.where(neither, _NEITHER, jnp.where(draws[:, 1] < 0.5, _FIRST, _SECOND))
    return _Drawn(wrong, other, exists.reshape(-1), label)


def _scored(
    name: str, logits: jax.Array, labels: jax.Array, where: jax.Array, variables: Any
) -> tuple[jax.Array, tuple[Metrics, Any]]:
    loss = label_loss(logits, labels, where=where)
    accuracy = label_accuracy(logits, labels, where=where)
    return loss, ({f"train/{name}_loss": loss, f"train/{name}_accuracy": accuracy}, variables)
