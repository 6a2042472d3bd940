"""Mutual information from scores: lower bounds in nats, and the InfoNCE loss.

Each is a mean over positives against the negatives, of its own anchor (InfoNCE) or of the whole
matrix (all others). docs/bounds.md says which to use when.
"""

import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Unpack

import jax
import jax.numpy as jnp

from tvdim_jax.losses.accumulators import LOG_SUM_EXP, SUM, Accumulator, LogSum
from tvdim_jax.losses.masks import MaskWords, PairMasks
from tvdim_jax.losses.pairs import (
    Pairs,
    Stats,
    Tile,
    as_pairs,
    mean_over_anchors,
    over_positives,
)


def info_nce_lower_bound(scores: jax.Array | Pairs, **masks: Unpack[MaskWords]) -> jax.Array:
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
    pairs = as_pairs(scores, masks)
    ((stats, cross_entropy),) = cross_entropies(pairs, 1.0, symmetric=False)
    return mean_over_anchors(pairs, jnp.log1p(stats["num_negatives"]) - cross_entropy, stats)


def info_nce_loss(
    scores: jax.Array | Pairs,
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
      temperature: > 0, divides the scores; may be traced and learned.
      symmetric: also take columns as anchors.
      **masks: see `tvdim_jax.losses.masks.MaskWords`; default: the diagonal is positive.

    Returns:
      `[...]`, nats, >= 0, at least float32. An anchor without negatives gives 0 and no gradient, as
      does a matrix without positives.

    Raises:
      ValueError: scores or masks of a wrong shape; a concrete temperature that is not above 0.

    Source: van den Oord et al. 2018 (arXiv 1807.03748); symmetric as in Radford et al. 2021
    (arXiv 2103.00020).
    """
    check_temperature(temperature)
    pairs = as_pairs(scores, masks)
    directions = cross_entropies(pairs, temperature, symmetric=symmetric)
    losses = [mean_over_anchors(pairs, values, stats) for stats, values in directions]
    return sum(losses[1:], start=losses[0]) / len(losses)


def donsker_varadhan_lower_bound(
    scores: jax.Array | Pairs, **masks: Unpack[MaskWords]
) -> jax.Array:
    """Donsker-Varadhan lower bound (MINE) on the mutual information, to be maximised.

        bound = mean_positives s - log mean_negatives exp s

    with the mean over positives as in `info_nce_lower_bound`, and one mean over all negative pairs
    of the matrix. Unbounded above, and on a batch the logarithm makes it too high on average.

    Args:
      scores: `[..., N, M]`, any float; reduced in float32 (float64 stays).
      **masks: see `tvdim_jax.losses.masks.MaskWords`; default: the diagonal is positive.

    Returns:
      `[...]`, nats, at least float32. Without negatives, or without positives, 0 and no gradient.

    Raises:
      ValueError: scores or masks of a wrong shape.

    Source: Donsker and Varadhan 1983; Belghazi et al. 2018 (arXiv 1801.04062); as "dv" in the
    release of Liao et al. 2021 (arXiv 2103.04537), negated there.
    """
    return against_all_negatives(as_pairs(scores, masks), math.inf)[0]


def smile_lower_bound(
    scores: jax.Array | Pairs, *, clip: float = 5.0, **masks: Unpack[MaskWords]
) -> jax.Array:
    """SMILE estimate: Donsker-Varadhan with the negatives' scores clamped, against its variance.

        estimate = mean_positives s - log mean_negatives exp clamp(s, -clip, clip)

    A lower bound only as clip goes to infinity; the clamp has no gradient outside its range, so
    train the critic with `jsd_objective` and estimate with this.

    Args:
      scores: `[..., N, M]`, any float; reduced in float32 (float64 stays).
      clip: > 0; smaller means less variance and more bias.
      **masks: see `tvdim_jax.losses.masks.MaskWords`; default: the diagonal is positive.

    Returns:
      `[...]`, nats, at least float32. Without negatives, or without positives, 0 and no gradient.

    Raises:
      ValueError: scores or masks of a wrong shape, or clip <= 0.

    Source: Song and Ermon 2020 (arXiv 1910.06222).
    """
    if not clip > 0:
        raise ValueError(f"clip: got {clip}, wanted a number above 0; 5 is usual")
    return against_all_negatives(as_pairs(scores, masks), clip)[0]


def nwj_lower_bound(scores: jax.Array | Pairs, **masks: Unpack[MaskWords]) -> jax.Array:
    """Nguyen-Wainwright-Jordan lower bound on the mutual information, to be maximised.

        bound = mean_positives s - mean_negatives exp(s - 1)

    Unbiased on a batch, unlike Donsker-Varadhan, but of a variance that grows with exp(MI). Tight
    where the critic is 1 + log p(y|x) / p(y).

    Args:
      scores: `[..., N, M]`, any float; reduced in float32 (float64 stays). Above about 88 the
        negatives' mean is infinite in float32.
      **masks: see `tvdim_jax.losses.masks.MaskWords`; default: the diagonal is positive.

    Returns:
      `[...]`, nats, at least float32. Without negatives, or without positives, 0 and no gradient.

    Raises:
      ValueError: scores or masks of a wrong shape.

    Source: Nguyen et al. 2010 (arXiv 0809.0853); Poole et al. 2019 (arXiv 1905.06922).
    """
    pairs = as_pairs(scores, masks)
    tile = partial(_negatives, math.inf)
    stats, positive, some = _both_parts(pairs, tile, LOG_SUM_EXP, lambda score, *_: score)
    best, log_mean = _log_mean_exp(pairs, stats)
    return jnp.where(some, positive - jnp.exp(best + log_mean - 1), 0)


def jsd_objective(scores: jax.Array | Pairs, **masks: Unpack[MaskWords]) -> jax.Array:
    """Jensen-Shannon objective, to be maximised; not in nats and no bound on mutual information.

        objective = -mean_positives softplus(-s) - mean_negatives softplus(s)

    At most 0; -2 log 2 for a critic that knows nothing. Its optimal critic is log p(y|x) / p(y), so
    that a critic trained with it serves `smile_lower_bound`; its gradients are bounded.

    Args:
      scores: `[..., N, M]`, any float; reduced in float32 (float64 stays).
      **masks: see `tvdim_jax.losses.masks.MaskWords`; default: the diagonal is positive.

    Returns:
      `[...]`, at least float32. Without negatives, or without positives, 0 and no gradient.

    Raises:
      ValueError: scores or masks of a wrong shape.

    Source: Nowozin et al. 2016 (arXiv 1606.00709); Hjelm et al. 2019 (arXiv 1808.06670).
    """
    pairs = as_pairs(scores, masks)
    stats, positive, some = _both_parts(
        pairs, _softplus_of_negatives, SUM, lambda score, *_: jax.nn.softplus(-score)
    )
    num_negatives = jnp.maximum(pairs.total(stats["num_negatives"]), 1)
    negative = pairs.total(stats["negatives"]) / num_negatives
    return jnp.where(some, -positive - negative, 0)


def cross_entropies(
    pairs: Pairs, temperature: jax.Array | float, *, symmetric: bool
) -> list[tuple[Stats, jax.Array]]:
    """For each direction what was counted, and the cross-entropy of each anchor `[..., N]`.

    The mean over the anchor's positives, each against its negatives; 0 without negatives.
    """
    directions = [()] * (1 + symmetric)
    found = pairs.reduce(_logits_of_negatives, {"negatives": LOG_SUM_EXP}, directions, temperature)
    return finish_cross_entropies(pairs, found, temperature)


def finish_cross_entropies(
    pairs: Pairs, found: list[Stats], temperature: jax.Array | float
) -> list[tuple[Stats, jax.Array]]:
    """`cross_entropies` from the logsumexp "negatives" of each anchor's negative logits."""
    negatives = [stats["negatives"]._asdict() for stats in found]
    values = over_positives(pairs, _gap, found, negatives, temperature)
    return [
        (stats, jnp.where(stats["num_negatives"] > 0, value, 0))
        for stats, value in zip(found, values, strict=True)
    ]


def check_temperature(temperature: jax.Array | float) -> None:
    """Raises ValueError for a concrete temperature that is not above 0."""
    if not isinstance(temperature, jax.core.Tracer) and not float(temperature) > 0:
        raise ValueError(
            f"temperature: got {temperature}, wanted a number above 0 that divides the scores; "
            "0.07 is usual for cosine scores"
        )


def _logits_of_negatives(
    scores: tuple[jax.Array, ...], masks: PairMasks, anchor: Any, temperature: jax.Array
) -> Mapping[str, jax.Array]:
    del anchor
    return {"negatives": jnp.where(masks.negative, scores[0] / temperature, -jnp.inf)}


def _gap(score: jax.Array, negatives: Mapping[str, jax.Array], temperature: jax.Array) -> jax.Array:
    """-log(e^p / (e^p + e^n)) = softplus(n - p): one logsumexp n of the negatives serves all p."""
    return jax.nn.softplus(negatives["log_sum"] + (negatives["best"] - score / temperature))


def _negatives(
    clip: float, scores: tuple[jax.Array, ...], masks: PairMasks, *_: Any
) -> Mapping[str, jax.Array]:
    clamped = scores[0] if clip == math.inf else jnp.clip(scores[0], -clip, clip)
    return {"negatives": jnp.where(masks.negative, clamped, -jnp.inf)}


def _softplus_of_negatives(
    scores: tuple[jax.Array, ...], masks: PairMasks, *_: Any
) -> Mapping[str, jax.Array]:
    negatives = jax.nn.softplus(jnp.where(masks.negative, scores[0], 0))
    return {"negatives": jnp.where(masks.negative, negatives, 0)}


def against_all_negatives(pairs: Pairs, clip: float) -> tuple[jax.Array, jax.Array]:
    """Donsker-Varadhan with the negatives' scores clamped to +-clip, and how many there are.

    Args:
      pairs: the pairs.
      clip: > 0, or inf.

    Returns:
      The bound `[...]`, 0 without negatives or without positives, and log(negatives), 0 likewise.
    """
    tile = partial(_negatives, clip)
    stats, positive, some = _both_parts(pairs, tile, LOG_SUM_EXP, lambda score, *_: score)
    best, log_mean = _log_mean_exp(pairs, stats)
    num_negatives = pairs.total(stats["num_negatives"])
    # Positives less the best negative first: at scores of 1e4 a float32 sum loses 1e-3.
    return jnp.where(some, (positive - best) - log_mean, 0), jnp.log(
        jnp.where(some, num_negatives, 1)
    )


def _both_parts(
    pairs: Pairs, tile: Tile, kind: Accumulator, term: Callable[..., jax.Array]
) -> tuple[Stats, jax.Array, jax.Array]:
    """Results "negatives" of the rows, the mean positive term, and whether either is empty."""
    (stats,) = pairs.reduce(tile, {"negatives": kind}, [()])
    (positive,) = over_positives(pairs, term, [stats], [()])
    some = (pairs.total(stats["num_negatives"]) > 0) & (pairs.total(stats["num_positives"]) > 0)
    return stats, mean_over_anchors(pairs, positive, stats), some


def _log_mean_exp(pairs: Pairs, stats: Stats) -> tuple[jax.Array, jax.Array]:
    """Log of the mean of exp over all negatives of the matrix, as the two parts of a `LogSum`."""
    negatives: LogSum = stats["negatives"]
    occupied = stats["num_negatives"] > 0
    best = pairs.maximum(jnp.where(occupied, negatives.best, -jnp.inf))
    best = jnp.where(best > -jnp.inf, best, 0)
    each = negatives.log_sum + (negatives.best - best[..., None])
    total = pairs.total(jnp.exp(jnp.where(occupied, each, -jnp.inf)))
    count = pairs.total(stats["num_negatives"])
    return best, jnp.log(jnp.where(count > 0, total, 1)) - jnp.log(jnp.maximum(count, 1))
