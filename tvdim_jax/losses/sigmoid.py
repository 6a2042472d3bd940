"""The sigmoid loss of SigLIP: every pair a yes-or-no question of its own."""

from collections.abc import Mapping
from typing import Any, Unpack

import jax
import jax.numpy as jnp

from tvdim_jax.losses.accumulators import SUM
from tvdim_jax.losses.masks import MaskWords, PairMasks
from tvdim_jax.losses.pairs import Pairs, as_pairs


def sigmoid_pair_loss(scores: jax.Array | Pairs, **masks: Unpack[MaskWords]) -> jax.Array:
    """Sum over pairs of the binary cross-entropy of "is this a positive", over the anchors.

        loss = 1/A sum_i ( sum_{p in P_i} softplus(-s_ip) + sum_{j in N_i} softplus(s_ij) )

    with i over the A anchors that have a positive; one without negatives adds 0. A surrogate of
    mutual information, not a bound on it.

    Args:
      scores: `[..., N, M]`, any float, with temperature and bias inside (SigLIP starts at
        `10 cosine - 10`); rows are anchors, reduced in float32 (float64 stays).
      **masks: see `tvdim_jax.losses.masks.MaskWords`; default: the diagonal is positive.

    Returns:
      `[...]`, nats per anchor, >= 0, at least float32. Without negatives, or without positives, 0
      and no gradient.

    Raises:
      ValueError: scores or masks of a wrong shape.

    Source: Zhai et al. 2023 (arXiv 2303.15343), equation 2.
    """
    pairs = as_pairs(scores, masks)
    (stats,) = pairs.reduce(_cross_entropy, {"cross_entropy": SUM}, [()])
    anchors = stats["num_positives"] > 0
    counted = anchors & (stats["num_negatives"] > 0)
    total = pairs.total(jnp.where(counted, stats["cross_entropy"], 0))
    return total / jnp.maximum(pairs.total(anchors.astype(total.dtype)), 1)


def _cross_entropy(
    scores: tuple[jax.Array, ...], masks: PairMasks, *_: Any
) -> Mapping[str, jax.Array]:
    real = masks.positive | masks.negative
    # The inner `where` keeps masked scores, NaN perhaps, out of the gradient.
    logits = jnp.where(real, jnp.where(masks.positive, -scores[0], scores[0]), 0)
    return {"cross_entropy": jnp.where(real, jax.nn.softplus(logits), 0)}
