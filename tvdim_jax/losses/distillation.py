"""Soft targets: an anchor's candidates ranked as another critic ranks them."""

from collections.abc import Mapping
from typing import Any, Unpack

import jax
import jax.numpy as jnp

from tvdim_jax.losses.accumulators import LOG_SUM_EXP, SUM
from tvdim_jax.losses.info_nce import check_temperature
from tvdim_jax.losses.masks import MaskWords, PairMasks
from tvdim_jax.losses.pairs import Pairs, as_pairs, mean_over_anchors


def distillation_loss(
    scores: jax.Array | Pairs,
    target: jax.Array | None = None,
    *,
    temperature: jax.Array | float,
    symmetric: bool = True,
    **masks: Unpack[MaskWords],
) -> jax.Array:
    """Cross-entropy of candidates to the softmax of other scores.

    With logits z = scores / temperature, targets m = target / temperature, and sums over the
    positives and negatives of anchor i:

        q_ij = exp m_ij / sum_k exp m_ik
        rows = mean_i -sum_j q_ij log( exp z_ij / sum_k exp z_ik )
        loss = (rows + the same over columns as anchors) / 2, or rows alone if not symmetric

    with the mean over the anchors that have a positive.

    Args:
      scores: `[..., N, M]`, any float; rows are anchors, reduced in float32 (float64 stays).
        `pairwise`: the critic returns (scores, target).
      target: `[..., N, M]`, which gets no gradient.
      temperature: > 0, divides both; may be traced and learned (by the scores alone).
      symmetric: also take columns as anchors.
      **masks: see `tvdim_jax.losses.masks.MaskWords`; default: the diagonal is positive.

    Returns:
      `[...]`, nats, >= 0, at least float32; at least the mean entropy of q.

    Raises:
      ValueError: no target; scores or masks of a wrong shape; a concrete temperature not above 0.

    Source: Li et al. 2021 (arXiv 2107.07651), equation 6.
    """
    check_temperature(temperature)
    pairs = as_pairs(scores, masks, target, most_scores=2)
    if pairs.num_scores != 2:
        raise ValueError(
            f"target: got {pairs.num_scores} scores of each pair, wanted two, those that learn and "
            "those to learn from; give both matrices, or a critic that returns both"
        )
    shared = {"temperature": temperature, "fixed": jax.lax.stop_gradient(temperature)}
    kinds = dict.fromkeys(("scores", "target"), LOG_SUM_EXP)
    found = pairs.reduce(_logits, kinds, [()] * (1 + symmetric), shared)
    # Logits are taken from the anchor's best one: at 1e4 their float32 difference loses 1e-3.
    anchors = jax.lax.stop_gradient(
        [{"scores": stats["scores"].best, "target": stats["target"]} for stats in found]
    )
    expected = pairs.reduce(_expected_logit, {"logit": SUM}, anchors, shared)
    losses = [
        mean_over_anchors(pairs, stats["scores"].log_sum - each["logit"], stats)
        for stats, each in zip(found, expected, strict=True)
    ]
    return sum(losses[1:], start=losses[0]) / len(losses)


def _logits(
    scores: tuple[jax.Array, ...],
    masks: PairMasks,
    anchor: Any,
    shared: Mapping[str, jax.Array],
) -> Mapping[str, jax.Array]:
    del anchor
    allowed = masks.positive | masks.negative
    # Masked scores may be NaN, and NaN would pass the gradient of the outer `where`.
    logits, target = (jnp.where(allowed, each, 0) for each in scores)
    target = jax.lax.stop_gradient(target) / shared["fixed"]
    return {
        "scores": jnp.where(allowed, logits / shared["temperature"], -jnp.inf),
        "target": jnp.where(allowed, target, -jnp.inf),
    }


def _expected_logit(
    scores: tuple[jax.Array, ...],
    masks: PairMasks,
    anchor: Mapping[str, Any],
    shared: Mapping[str, jax.Array],
) -> Mapping[str, jax.Array]:
    """q_ij z_ij, z counted from the anchor's best."""
    allowed = masks.positive | masks.negative
    target = _logits(scores, masks, (), shared)["target"]
    probs = jnp.exp((target - anchor["target"].best) - anchor["target"].log_sum)
    logits = jnp.where(allowed, scores[0], 0) / shared["temperature"] - anchor["scores"]
    return {"logit": jnp.where(allowed, probs * logits, 0)}
