"""InfoNCE: each positive against the negatives of its own anchor, as a bound and as a loss."""

from collections.abc import Mapping
from typing import Any, Unpack

import jax
import jax.numpy as jnp

from tvdim_jax.losses.accumulators import LOG_SUM_EXP
from tvdim_jax.losses.masks import MaskWords, PairMasks
from tvdim_jax.losses.pairs import Pairs, Stats, as_pairs, mean_over_anchors, over_positives


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
    """Raises ValueError unless it is one scalar, and above 0 where it is concrete."""
    is_scalar = temperature is not None and jnp.ndim(temperature) == 0
    if not is_scalar or not (isinstance(temperature, jax.core.Tracer) or float(temperature) > 0):
        raise ValueError(
            f"temperature: got {temperature}, wanted one number above 0 that divides the scores; "
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
