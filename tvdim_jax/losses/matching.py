"""Matching images with texts and masked words: draws and losses of a fusion encoder, as in ALBEF.

All draws are a function of the key and of where a row stands in the global batch, hence the same
on any number of devices.
"""

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp

from tvdim_jax.prng import named_key


class MaskedTokens(NamedTuple):
    """Texts with some words hidden.

    Attributes:
      token_ids: int32 `[B, T]`, what the encoder reads.
      masked: bool `[B, T]`, True = the word is to be predicted.
    """

    token_ids: jax.Array
    masked: jax.Array


def label_loss(logits: jax.Array, labels: jax.Array, *, where: jax.Array) -> jax.Array:
    """Softmax cross-entropy of labels, its mean over the places that count.

        loss = sum_{i: where_i} -log softmax(logits_i)[labels_i] / max(1, number of such i)

    With two classes it is the loss of image-text matching, over a vocabulary that of masked words.

    Args:
      logits: `[..., C]`, any float, reduced in float32 (float64 stays).
      labels: int `[...]`, in [0, C).
      where: bool `[...]`, True = counts; the others may be NaN.

    Returns:
      Scalar, nats, >= 0; 0 without a gradient where nothing counts.

    Source: Li et al. 2021 (arXiv 2107.07651), equations 2 and 3; Devlin et al. 2019
    (arXiv 1810.04805).
    """
    log_probs = _log_softmax(logits, where)
    found = jnp.take_along_axis(log_probs, labels[..., None], axis=-1)[..., 0]
    return -_mean(found, where)


def soft_label_loss(logits: jax.Array, target: jax.Array, *, where: jax.Array) -> jax.Array:
    """Cross-entropy to a teacher's probabilities, its mean over the places that count.

        loss = sum_{i: where_i} -sum_c softmax(target_i)_c log softmax(logits_i)_c / max(1, number)

    Args:
      logits: `[..., C]`, any float, reduced in float32 (float64 stays).
      target: `[..., C]`, the teacher's logits, which get no gradient.
      where: bool `[...]`, True = counts; the others may be NaN.

    Returns:
      Scalar, nats, >= 0; 0 without a gradient where nothing counts.

    Source: Li et al. 2021 (arXiv 2107.07651), equation 7, up to the entropy of the teacher.
    """
    probs = jnp.exp(_log_softmax(jax.lax.stop_gradient(target), where))
    return -_mean(jnp.sum(probs * _log_softmax(logits, where), axis=-1), where)


def label_accuracy(logits: jax.Array, labels: jax.Array, *, where: jax.Array) -> jax.Array:
    """Share of the places that count whose largest logit is that of the label; 0 without any.

    Args:
      logits: `[..., C]`.
      labels: int `[...]`.
      where: bool `[...]`, True = counts.

    Returns:
      Scalar in 0..1, float32.
    """
    return _mean((jnp.argmax(logits, axis=-1) == labels).astype(jnp.float32), where)


def draw_negatives(
    key: jax.Array, logits: jax.Array, allowed: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Draws one wrong candidate for each anchor, the likelier the higher it scores.

        P(j of anchor i) = exp logits_ij / sum over allowed k of exp logits_ik

    Args:
      key: typed PRNG key, scalar.
      logits: `[G, n, m]`, finite scores over their temperature, of the n anchors and m candidates
        of each of G groups. Anchors are numbered through all groups.
      allowed: bool `[G, n, m]`, True = may be drawn.

    Returns:
      int32 `[G, n]`, the candidate's place in its group, and bool `[G, n]`, True where there was
      one to draw; elsewhere the place is 0. No gradient.

    Source: Li et al. 2021 (arXiv 2107.07651), section 3.3.
    """
    *anchors, num_candidates = logits.shape
    draw = partial(jax.random.gumbel, shape=(num_candidates,))
    noise = jax.vmap(draw)(_row_keys(key, anchors[0] * anchors[1])).reshape(logits.shape)
    noisy = jnp.where(allowed, jax.lax.stop_gradient(logits) + noise, -jnp.inf)
    return jnp.argmax(noisy, axis=-1).astype(jnp.int32), jnp.any(allowed, axis=-1)


def mask_tokens(
    key: jax.Array,
    token_ids: jax.Array,
    token_valid: jax.Array,
    *,
    vocab_size: int,
    mask_id: int,
    never: Sequence[int] = (),
    rate: float = 0.15,
) -> MaskedTokens:
    """Hides words at random, each by itself: 80 % as the mask, 10 % as any word, 10 % not at all.

    Args:
      key: typed PRNG key, scalar.
      token_ids: int32 `[B, T]` in [0, vocab_size); the first of a row, [CLS], is never hidden.
      token_valid: bool `[B, T]`, True = a real token; the others are never hidden.
      vocab_size: the 10 % are drawn from all its words, each as likely.
      mask_id: id of the mask.
      never: ids that are never hidden, such as that of [SEP].
      rate: in [0, 1], chance of a word to be hidden, and so to be predicted.

    Returns:
      `MaskedTokens`; tokens that are not hidden keep their ids.

    Raises:
      ValueError: rate or mask_id out of range.

    Source: Devlin et al. 2019 (arXiv 1810.04805), section 3.1.
    """
    _check_masking(vocab_size, mask_id, rate)
    num_rows, length = token_ids.shape
    may = token_valid & (jnp.arange(length) > 0)[None, :]
    for token_id in never:
        may &= token_ids != token_id

    def draw(row_key: jax.Array) -> tuple[jax.Array, ...]:
        hide, how = jax.random.uniform(named_key(row_key, "hide"), (2, length))
        return hide, how, jax.random.randint(named_key(row_key, "word"), (length,), 0, vocab_size)

    hide, how, words = jax.vmap(draw)(_row_keys(key, num_rows))
    masked = may & (hide < rate)
    words = jnp.where(how < 0.8, mask_id, words).astype(token_ids.dtype)
    return MaskedTokens(jnp.where(masked & (how < 0.9), words, token_ids), masked)


def _row_keys(key: jax.Array, num_rows: int) -> jax.Array:
    return jax.vmap(partial(jax.random.fold_in, key))(jnp.arange(num_rows))


def _log_softmax(logits: jax.Array, where: jax.Array) -> jax.Array:
    """In float32 at least, and of zeros where nothing counts, lest a NaN there pass a gradient."""
    logits = logits.astype(jnp.promote_types(logits.dtype, jnp.float32))
    return jax.nn.log_softmax(jnp.where(where[..., None], logits, 0))


def _mean(values: jax.Array, where: jax.Array) -> jax.Array:
    total = jnp.sum(jnp.where(where, values, 0))
    return total / jnp.maximum(jnp.sum(where), 1).astype(values.dtype)


def _check_masking(vocab_size: int, mask_id: int, rate: float) -> None:
    if not 0 <= rate <= 1:
        raise ValueError(
            f"rate: got {rate}, wanted 0..1, the share of words to hide; 0.15 is usual"
        )
    if not 0 <= mask_id < vocab_size:
        raise ValueError(
            f"mask_id: got {mask_id}, wanted one of the {vocab_size} ids of the vocabulary; "
            "give it a [MASK]"
        )
