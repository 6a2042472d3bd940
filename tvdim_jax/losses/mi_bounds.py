"""Lower bounds on mutual information, in nats, whose negatives are those of the whole matrix."""

import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Unpack

import jax
import jax.numpy as jnp

from tvdim_jax.losses.accumulators import LOG_SUM_EXP, SUM, Accumulator, LogSum, finite_shift
from tvdim_jax.losses.masks import MaskWords, PairMasks
from tvdim_jax.losses.pairs import (
    Pairs,
    Stats,
    Tile,
    as_pairs,
    mean_over_anchors,
    over_positives,
)


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
        mean of the negatives is infinite in float32.
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
    exponent = best + log_mean - 1
    # Where the mean overflows, its gradient stays at the largest float: inf times 0 would be NaN.
    largest = math.log(jnp.finfo(exponent.dtype).max) - 1
    held = jnp.exp(exponent - jax.lax.stop_gradient(jax.nn.relu(exponent - largest)))
    mean_exp = held + jax.lax.stop_gradient(jnp.exp(exponent) - held)
    return jnp.where(some, positive - mean_exp, 0)


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
    best = finite_shift(best)
    each = negatives.log_sum + (negatives.best - best[..., None])
    total = pairs.total(jnp.exp(jnp.where(occupied, each, -jnp.inf)))
    count = pairs.total(stats["num_negatives"])
    return best, jnp.log(jnp.where(count > 0, total, 1)) - jnp.log(jnp.maximum(count, 1))
