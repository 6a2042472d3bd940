"""Mutual information from scores: the InfoNCE lower bound in nats and its loss."""

from typing import Unpack

import jax
import jax.numpy as jnp

from tvdim_jax.losses.masks import MaskWords, PairMasks, float_scores, pair_masks


def info_nce_lower_bound(scores: jax.Array, **masks: Unpack[MaskWords]) -> jax.Array:
    """InfoNCE lower bound on the mutual information of anchors and candidates, to be maximised.

    For anchor i with positives P_i and K_i negatives N_i:

        bound = mean_i mean_{p in P_i} log( exp s_ip / ( (exp s_ip + sum_{j in N_i} exp s_ij)
                                                         / (1 + K_i) ) )

    with the mean over the anchors that have a positive. Each positive competes alone with the
    negatives. Never above `log(1 + max_i K_i)`, which is log M when all of a row takes part.

    Args:
      scores: `[..., N, M]`, any float; rows are anchors, reduced in float32 (float64 stays).
      **masks: see `tvdim_jax.losses.masks.MaskWords`; default: row i's positive is column i, all
        else are negatives.

    Returns:
      `[...]`, nats, at least float32. An anchor without negatives gives 0 and no gradient, as does
      a matrix without positives.

    Raises:
      ValueError: scores or masks of a wrong shape.

    Source: van den Oord et al. 2018 (arXiv 1807.03748); Poole et al. 2019 (arXiv 1905.06922).
    """
    scores = float_scores(scores)
    pairs = pair_masks(scores.shape, **masks)
    num_negatives = jnp.sum(pairs.negative, axis=-1).astype(scores.dtype)
    return _mean_over_anchors(jnp.log1p(num_negatives) - _cross_entropy(scores, pairs), pairs)


def info_nce_loss(
    scores: jax.Array,
    *,
    temperature: jax.Array | float = 1.0,
    symmetric: bool = True,
    **masks: Unpack[MaskWords],
) -> jax.Array:
    """InfoNCE loss: softmax cross-entropy of each positive among the negatives of its anchor.

    With logits z = scores / temperature and N_i the negatives of anchor i:

        rows = mean_i mean_{p in P_i} -log( exp z_ip / (exp z_ip + sum_{j in N_i} exp z_ij) )
        loss = (rows + the same over columns as anchors) / 2, or rows alone if not symmetric

    with the mean over the anchors that have a positive. Each positive competes alone with the
    negatives.

    Args:
      scores: `[..., N, M]`, any float; rows are anchors, reduced in float32 (float64 stays).
      temperature: > 0, divides the scores; may be traced.
      symmetric: True = mean of both directions.
      **masks: see `tvdim_jax.losses.masks.MaskWords`; default: the diagonal is positive.

    Returns:
      `[...]`, nats, >= 0, at least float32. An anchor without negatives gives 0 and no gradient, as
      does a matrix without positives.

    Raises:
      ValueError: scores or masks of a wrong shape; a concrete temperature that is not above 0.

    Source: van den Oord et al. 2018 (arXiv 1807.03748); symmetric as in Radford et al. 2021
    (arXiv 2103.00020).
    """
    if not isinstance(temperature, jax.core.Tracer) and not float(temperature) > 0:
        raise ValueError(
            f"temperature: got {temperature}, wanted a number above 0 that divides the scores; "
            "0.07 is usual for cosine scores"
        )
    logits = float_scores(scores) / temperature
    pairs = pair_masks(logits.shape, **masks)
    rows = _mean_over_anchors(_cross_entropy(logits, pairs), pairs)
    if not symmetric:
        return rows
    logits, pairs = jnp.swapaxes(logits, -1, -2), pairs.transposed()
    return (rows + _mean_over_anchors(_cross_entropy(logits, pairs), pairs)) / 2


def _cross_entropy(logits: jax.Array, pairs: PairMasks) -> jax.Array:
    """Cross-entropy of each anchor `[..., N]`: mean over its positives; 0 without negatives."""
    has_negative = jnp.any(pairs.negative, axis=-1, keepdims=True)
    counted = pairs.positive & has_negative
    # -log(e^p / (e^p + e^n)) = softplus(n - p): one logsumexp n of the negatives serves every
    # positive. The inner `where`s keep masked scores and empty rows out of the gradient.
    negatives = jnp.where(pairs.negative, logits, -jnp.inf)
    negatives = jnp.where(has_negative, negatives, 0)
    # Differences to the best negative first: at scores of 1e4 a float32 logsumexp loses 1e-3.
    best = jax.lax.stop_gradient(jnp.max(negatives, axis=-1, keepdims=True))
    gap = jax.nn.logsumexp(negatives - best, axis=-1, keepdims=True) - (logits - best)
    each = jnp.where(counted, jax.nn.softplus(jnp.where(counted, gap, 0)), 0)
    num_positives = jnp.sum(pairs.positive, axis=-1).astype(logits.dtype)
    return jnp.sum(each, axis=-1) / jnp.maximum(num_positives, 1)


def _mean_over_anchors(values: jax.Array, pairs: PairMasks) -> jax.Array:
    """Mean `[...]` of values `[..., N]` over the anchors that have a positive; 0 without any."""
    anchors = jnp.any(pairs.positive, axis=-1)
    num_anchors = jnp.sum(anchors, axis=-1).astype(values.dtype)
    return jnp.sum(jnp.where(anchors, values, 0), axis=-1) / jnp.maximum(num_anchors, 1)
