"""Margin ranking: a positive pair need only lead its negatives by the margin."""

from typing import Literal, Unpack

import jax
import jax.numpy as jnp

from tvdim_jax.losses.masks import MaskWords, PairMasks, float_scores, pair_masks

Negatives = Literal["all", "hardest"] | int


def margin_ranking_loss(
    scores: jax.Array,
    *,
    margin: jax.Array | float = 0.2,
    negatives: Negatives = "all",
    **masks: Unpack[MaskWords],
) -> jax.Array:
    """Hinge ranking loss in both directions, zero once each positive leads by the margin.

    With positives P_i and chosen negatives N_i of anchor i:

        rows = sum_i sum_{j in N_i} mean_{p in P_i} max(0, margin - s_ip + s_ij) / sum_i |N_i|
        loss = rows + the same over columns as anchors

    where i runs over the anchors that have a positive: each direction is a mean over its negatives.
    A surrogate of mutual information, not a bound on it.

    Args:
      scores: `[..., N, M]`, any float, bounded ones such as cosines (else norms grow to satisfy the
        margin); rows are anchors, reduced in float32 (float64 stays).
      margin: in the unit of the scores; may be traced.
      negatives: which negatives of an anchor count: "all" allowed ones, the "hardest" (highest
        score; the first of equals), or an int k >= 1 for its k highest.
      **masks: see `tvdim_jax.losses.masks.MaskWords`; default: the diagonal is positive. With
        `x_positive_id` or `positive_mask` time grows as N M^2, memory stays N M.

    Returns:
      `[...]`, unit of the scores, >= 0, at least float32. Without negatives, or without positives,
      0 and no gradient.

    Raises:
      ValueError: scores or masks of a wrong shape, or unknown `negatives`.

    Source: VSE++, Faghri et al. 2018 (arXiv 1707.05612), there the hardest negative. TVDIM (Qin
    et al. 2021, arXiv 2106.01797) ranks too but publishes no formula: the mean over all negatives
    is our choice, for noisy text.
    """
    check_negatives(negatives)
    scores = float_scores(scores)
    pairs = pair_masks(scores.shape, **masks)
    several = masks.get("positive_mask") is not None or masks.get("x_positive_id") is not None
    rows = _mean_hinge(scores, pairs, margin, negatives, several)
    scores, pairs = jnp.swapaxes(scores, -1, -2), pairs.transposed()
    return rows + _mean_hinge(scores, pairs, margin, negatives, several)


def check_negatives(negatives: Negatives) -> None:
    """Raises ValueError unless `negatives` is "all", "hardest" or an int of at least 1."""
    is_count = isinstance(negatives, int) and not isinstance(negatives, bool) and negatives >= 1
    if negatives not in ("all", "hardest") and not is_count:
        raise ValueError(
            f"negatives: got {negatives!r}, wanted 'all', 'hardest' or an int of at least 1; "
            "'all' is the safe choice for noisy text"
        )


def _mean_hinge(
    scores: jax.Array,
    pairs: PairMasks,
    margin: jax.Array | float,
    negatives: Negatives,
    several: bool,
) -> jax.Array:
    """One direction `[...]`, rows as anchors; `several`: an anchor may have several positives."""
    has_positive = jnp.any(pairs.positive, axis=-1, keepdims=True)
    chosen_scores, chosen = _choose(scores, pairs.negative & has_positive, negatives)

    def hinge_of(positive_score: jax.Array) -> jax.Array:
        """Sum of the hinges `[..., N]` of one positive per anchor `[..., N]`."""
        hinge = jax.nn.relu(margin + (chosen_scores - positive_score[..., None]))
        return jnp.sum(jnp.where(chosen, hinge, 0), axis=-1)

    if several:  # one column of positives at a time, recomputed in the backward pass
        columns = jnp.moveaxis(jnp.where(pairs.positive, scores, 0), -1, 0)
        hinges = jnp.moveaxis(jax.lax.map(jax.checkpoint(hinge_of), columns), 0, -1)
        num_positives = jnp.sum(pairs.positive, axis=-1).astype(scores.dtype)
        total = jnp.sum(jnp.where(pairs.positive, hinges, 0), axis=-1)
        total = total / jnp.maximum(num_positives, 1)
    else:
        total = hinge_of(jnp.sum(jnp.where(pairs.positive, scores, 0), axis=-1))
    # Counted per row, then in floats: N M may pass the largest int32.
    num_chosen = jnp.sum(jnp.sum(chosen, axis=-1).astype(scores.dtype), axis=-1)
    return jnp.sum(total, axis=-1) / jnp.maximum(num_chosen, 1)


def _choose(
    scores: jax.Array, negative: jax.Array, negatives: Negatives
) -> tuple[jax.Array, jax.Array]:
    """Scores `[..., N, k]` of the chosen negatives and the mask of those that exist."""
    candidates = jnp.where(negative, scores, -jnp.inf)
    if negatives == "all":
        chosen, kept = candidates, negative
    else:
        num_chosen = 1 if negatives == "hardest" else min(negatives, scores.shape[-1])
        chosen, index = jax.lax.top_k(candidates, num_chosen)
        kept = jnp.take_along_axis(negative, index, axis=-1)
    return jnp.where(kept, chosen, 0), kept
