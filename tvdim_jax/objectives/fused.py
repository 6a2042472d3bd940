"""The terms of a fusion encoder: does this text belong to this image, and which word is hidden?

Beside what `embeddings` lists, `apply` holds

- `fusion(params, tokens [N, T, D], token_valid [N, T], image_tokens [N, K, D_image], *, train,
  key) -> Features` of texts that have seen as many images;
- `matching(params, fused [N, D]) -> logits [N, 2]`, the second class a match;
- `words(params, fused_tokens [..., D]) -> logits [..., vocab_size]`.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from tvdim_jax.features import Features
from tvdim_jax.losses.masks import pair_masks
from tvdim_jax.losses.matching import (
    MaskedTokens,
    draw_negatives,
    label_accuracy,
    label_loss,
    soft_label_loss,
)
from tvdim_jax.objectives.base import Metrics
from tvdim_jax.objectives.embeddings import Encoded, Sides
from tvdim_jax.objectives.groups import checked_group, interleave, of_groups
from tvdim_jax.precision import einsum_float32
from tvdim_jax.prng import named_key


def image_tokens(image: Features) -> jax.Array:
    """What the fusion reads of images: `[B, 1 + h w, D]`, the global vector, then the map.

    Raises:
      ValueError: an encoder with several maps, or one of another width.
    """
    shapes = {name: each.shape for name, each in image.local_features.items()}
    vectors, maps = image.global_features, list(image.local_features.values())
    if len(maps) != 1 or maps[0].shape[-1] != vectors.shape[-1]:
        raise ValueError(
            f"image features: got maps of shapes {shapes} beside vectors {vectors.shape}, wanted "
            "one map, as wide as the vectors, for the fusion to read; take a ViT"
        )
    tokens = maps[0].reshape(len(vectors), -1, vectors.shape[-1])
    return jnp.concatenate([vectors[:, None], tokens], axis=1)


def matching_term(
    params: Any,
    batch: Mapping[str, jax.Array],
    encoded: Encoded,
    *,
    apply: Any,
    temperature: jax.Array,
    group_size: int,
    key: jax.Array,
) -> tuple[jax.Array, Metrics]:
    """Image-text matching against hard negatives, drawn in fixed groups of the global batch.

    Each pair, each text with an image that it does not describe, and each image with a text that
    does not describe it: drawn by `softmax(cos / temperature)` out of the group, except pairs that
    share an image or a text. A row without such has one pair less.

    Args:
      params: of fusion and matching head.
      batch: "token_valid" `[B, T]`.
      encoded: of B pairs, texts with local features "tokens".
      apply: see the module.
      temperature: > 0, scalar; inf draws evenly.
      group_size: pairs of a group; a smaller batch is one group, else B is a multiple of it.
      key: the step's key.

    Returns:
      The loss (nats), the mean of all pairs, and "train/matching_loss", "train/matching_accuracy".

    Raises:
      ValueError: B is no multiple of group_size.

    Source: Li et al. 2021 (arXiv 2107.07651), section 3.2.
    """
    num = len(batch["token_valid"])
    size = checked_group(num, group_size)
    drawn, found = _drawn(encoded.sides, size, temperature, key)
    tokens, valid = encoded.text.local_features["tokens"], batch["token_valid"]
    wrong_tokens, wrong_valid = (of_groups(each, drawn["text"]) for each in (tokens, valid))
    images = image_tokens(encoded.image)
    wrong_images = of_groups(images, drawn["image"])
    # The three of a row side by side, so that no row leaves its device.
    fused = apply.fusion(
        params,
        interleave(tokens, tokens, wrong_tokens),
        interleave(valid, valid, wrong_valid),
        interleave(images, wrong_images, images),
        train=True,
        key=named_key(key, "matching_dropout"),
    )
    logits = apply.matching(params, fused.global_features)
    labels = jnp.tile(jnp.array([1, 0, 0]), num)
    # Only real pairs match, and found is of real anchors alone.
    where = interleave(encoded.sides["text"]["where"], found["image"], found["text"])
    loss = label_loss(logits, labels, where=where)
    accuracy = label_accuracy(logits, labels, where=where)
    return loss, {"train/matching_loss": loss, "train/matching_accuracy": accuracy}


class WordTeacher(NamedTuple):
    """What the logits of hidden words are distilled from.

    Attributes:
      params: of the momentum encoders.
      image_tokens: theirs, of the batch.
      share: a in 0..1, of their probabilities in the targets.
    """

    params: Any
    image_tokens: jax.Array
    share: jax.Array


def word_term(
    params: Any,
    variables: Any,
    batch: Mapping[str, jax.Array],
    tokens_of_images: jax.Array,
    *,
    apply: Any,
    mask: Callable[..., MaskedTokens],
    key: jax.Array,
    teacher: WordTeacher | None = None,
) -> tuple[jax.Array, Metrics]:
    """Masked language: hidden words from the rest of the text and the image.

        loss = (1 - a) label_loss(logits, words) + a soft_label_loss(logits, teacher's logits)

    Args:
      params: of text encoder, fusion and word predictor.
      variables: of the text encoder; what it changes in them is dropped.
      batch: "token_ids" and "token_valid" `[B, T]`, "text_id" int `[B]`, "where" bool `[B]`.
      tokens_of_images: `[B, K, D]`, see `image_tokens`.
      apply: see the module.
      mask: `mask_tokens`, its options bound.
      key: the step's key.
      teacher: None for a = 0.

    Returns:
      The loss (nats), the mean over the hidden words of real texts, and "train/word_loss",
      "train/word_accuracy".

    Source: Li et al. 2021 (arXiv 2107.07651), section 3.2.
    """
    token_ids, valid = batch["token_ids"], batch["token_valid"]
    hidden = mask(named_key(key, "hidden_words"), token_ids, valid)
    real = batch["where"] & (batch["text_id"] != -1)
    where = hidden.masked & real[:, None]

    def logits_of(params: Any, images: jax.Array, *, train: bool) -> jax.Array:
        text, _ = apply.text(
            params,
            variables,
            hidden.token_ids,
            valid,
            train=train,
            key=named_key(key, "word_text_dropout"),
        )
        fused = apply.fusion(
            params,
            text.local_features["tokens"],
            valid,
            images,
            train=train,
            key=named_key(key, "word_fusion_dropout"),
        )
        logits: jax.Array = apply.words(params, fused.local_features["tokens"])
        return logits

    logits = logits_of(params, tokens_of_images, train=True)
    loss = label_loss(logits, token_ids, where=where)
    metrics = {
        "train/word_loss": loss,
        "train/word_accuracy": label_accuracy(logits, token_ids, where=where),
    }
    if teacher is not None:
        target = logits_of(teacher.params, teacher.image_tokens, train=False)
        soft_loss = soft_label_loss(logits, target, where=where)
        metrics["train/word_distillation_loss"] = soft_loss
        loss = loss + teacher.share * (soft_loss - loss)
    return loss, metrics


def _drawn(
    sides: Sides, size: int, temperature: jax.Array, key: jax.Array
) -> tuple[dict[str, jax.Array], dict[str, jax.Array]]:
    """The wrong image of each text, the wrong text of each image: places `[G, n]`, and if any."""
    grouped = {
        name: {word: each.reshape(-1, size, *each.shape[1:]) for word, each in side.items()}
        for name, side in sides.items()
    }
    image, text = grouped["image"], grouped["text"]
    masks = pair_masks(
        (len(image["where"]), size, size),
        x_where=image["where"],
        y_where=text["where"],
        x_group_id=image["group_id"],
        y_group_id=text["group_id"],
    )
    vectors = jax.lax.stop_gradient((image["embedding"], text["embedding"]))
    logits = einsum_float32("gid,gjd->gij", *vectors) / jax.lax.stop_gradient(temperature)
    draws = {
        "text": draw_negatives(named_key(key, "wrong_text"), logits, masks.negative),
        "image": draw_negatives(
            named_key(key, "wrong_image"),
            jnp.swapaxes(logits, 1, 2),
            masks.transposed().negative,
        ),
    }
    found = {name: exists.reshape(-1) for name, (_, exists) in draws.items()}
    return {name: place for name, (place, _) in draws.items()}, found
