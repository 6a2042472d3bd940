"""Margin ranking: a positive pair need only lead its negatives by the margin."""

from collections.abc import Mapping
from typing import Any, Literal, Unpack

import jax
import jax.numpy as jnp

from tvdim_jax.losses.accumulators import SUM, Largest
from tvdim_jax.losses.masks import MaskWords, PairMasks
from tvdim_jax.losses.pairs import Pairs, Stats, as_pairs, no_values, over_positives

Negatives = Literal["all", "hardest"] | int


def margin_ranking_loss(
    scores: jax.Array | Pairs,
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
        `x_positive_id` or `positive_mask` the time of "all" grows with the largest number of
        positives of an anchor.

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
    pairs = as_pairs(scores, masks)
    found = _hinges(pairs, margin, negatives)
    directions = []
    for stats, hinges, chosen in found:
        anchors = stats["num_positives"] > 0
        num_chosen = pairs.total(jnp.where(anchors, chosen, 0))
        total = pairs.total(jnp.where(anchors, hinges, 0))
        directions.append(total / jnp.maximum(num_chosen, 1))
    return directions[0] + directions[1]


def check_negatives(negatives: Negatives) -> None:
    """Raises ValueError unless `negatives` is "all", "hardest" or an int of at least 1."""
    is_count = isinstance(negatives, int) and not isinstance(negatives, bool) and negatives >= 1
    if negatives not in ("all", "hardest") and not is_count:
        raise ValueError(
            f"negatives: got {negatives!r}, wanted 'all', 'hardest' or an int of at least 1; "
            "'all' is the safe choice for noisy text"
        )


def _hinges(
    pairs: Pairs, margin: jax.Array | float, negatives: Negatives
) -> list[tuple[Stats, jax.Array, jax.Array]]:
    """For each direction what was counted, the sum of hinges and the number of negatives chosen.

    Both `[..., N]`; the hinges are a mean over the anchor's positives.
    """
    if negatives == "all":
        found, hinges = _all_hinges(pairs, margin)
        return [
            (stats, hinge, stats["num_negatives"])
            for stats, hinge in zip(found, hinges, strict=True)
        ]
    k = 1 if negatives == "hardest" else negatives
    found = pairs.reduce(_negative_scores, {"negatives": Largest(k)}, [(), ()])
    top = [stats["negatives"].values for stats in found]
    hinges = over_positives(pairs, _hinges_of_top, found, top, margin)
    return [
        (stats, hinge, jnp.minimum(stats["num_negatives"], k))
        for stats, hinge in zip(found, hinges, strict=True)
    ]


def _all_hinges(pairs: Pairs, margin: jax.Array | float) -> tuple[list[Stats], list[jax.Array]]:
    """What was counted, and the sum of hinges over all negatives: a mean over the positives."""
    if pairs.single:
        positives = pairs.reduce(no_values, {}, [(), ()], only_positives=True)
        found = _hinges_against(pairs, positives, margin, None)
        return found, [stats["hinges"] for stats in found]
    found = pairs.reduce(no_values, {}, [(), ()])
    ranked, num_rounds, bound = pairs.rounds()
    zeros = [jnp.zeros_like(stats["num_positives"]) for stats in found]

    @jax.checkpoint
    def of_round(nth: jax.Array) -> list[jax.Array]:
        def hinges() -> list[jax.Array]:
            nths = ranked.reduce(no_values, {}, [(), ()], only_positives=True, nth_positive=nth)
            return [stats["hinges"] for stats in _hinges_against(ranked, nths, margin, nth)]

        return jax.lax.cond(nth < num_rounds, hinges, lambda: zeros)

    # Each round ranks the n-th positive of every anchor; most anchors have few.
    def add_round(sums: list[jax.Array], nth: jax.Array) -> tuple[list[jax.Array], None]:
        return jax.tree.map(jnp.add, sums, of_round(nth)), None

    sums, _ = jax.lax.scan(add_round, zeros, jnp.arange(bound))
    return found, [
        total / jnp.maximum(stats["num_positives"], 1)
        for total, stats in zip(sums, found, strict=True)
    ]


def _hinges_against(
    pairs: Pairs, positives: list[Stats], margin: jax.Array | float, nth: jax.Array | None
) -> list[Stats]:
    """Results with the sum "hinges" of each anchor's one positive against all its negatives."""
    anchors = [
        {"score": stats["positive_score"], "exists": stats["num_positives"]} for stats in positives
    ]
    return pairs.reduce(_hinge_tile, {"hinges": SUM}, anchors, margin, nth_positive=nth)


def _hinge_tile(
    scores: tuple[jax.Array, ...], masks: PairMasks, positive: Any, margin: jax.Array
) -> Mapping[str, jax.Array]:
    counts = masks.negative & (positive["exists"] > 0)
    # The inner `where` keeps masked scores, NaN perhaps, out of the gradient.
    lead = positive["score"] - jnp.where(counts, scores[0], 0)
    return {"hinges": jnp.where(counts, jax.nn.relu(margin - lead), 0)}


def _negative_scores(
    scores: tuple[jax.Array, ...], masks: PairMasks, *_: Any
) -> Mapping[str, jax.Array]:
    return {"negatives": jnp.where(masks.negative, scores[0], -jnp.inf)}


def _hinges_of_top(score: jax.Array, top: jax.Array, margin: jax.Array) -> jax.Array:
    """Sum of the hinges of a positive `[..., N]` against the k chosen negatives `[k, ..., N]`."""
    exists = top != -jnp.inf
    lead = jnp.expand_dims(score, 0) - jnp.where(exists, top, 0)
    return jnp.sum(jnp.where(exists, jax.nn.relu(margin - lead), 0), axis=0)
