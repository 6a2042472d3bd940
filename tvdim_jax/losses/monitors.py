"""What to watch while a critic learns, from one pass over the pairs and without gradients."""

from collections.abc import Mapping
from typing import Any, Unpack

import jax
import jax.numpy as jnp

from tvdim_jax.losses.accumulators import LOG_SUM_EXP, Accumulator, Largest
from tvdim_jax.losses.info_nce import check_temperature, finish_cross_entropies
from tvdim_jax.losses.masks import MaskWords, PairMasks
from tvdim_jax.losses.pairs import Pairs, as_pairs, mean_over_anchors, over_positives


def score_summary(
    scores: jax.Array | Pairs, *, temperature: jax.Array | float = 1.0, **masks: Unpack[MaskWords]
) -> dict[str, jax.Array]:
    """Numbers that tell collapse, saturation and progress apart, rows as anchors.

    Args:
      scores: `[..., N, M]`, any float; reduced in float32 (float64 stays).
      temperature: > 0, divides the scores in the first two.
      **masks: see `tvdim_jax.losses.masks.MaskWords`; default: the diagonal is positive.

    Returns:
      Scalars `[...]`, none with a gradient:

      - "mi_nats": InfoNCE lower bound of scores / temperature;
      - "loss_over_log_n": InfoNCE loss of the rows over their mean of log(1 + negatives): 1 is
        chance, 0 a solved batch;
      - "positive_score": mean over anchors of the score of their positives;
      - "hardest_negative_score": mean over anchors with a negative of their best negative.

    Raises:
      ValueError: scores or masks of a wrong shape; a concrete temperature that is not above 0.
    """
    check_temperature(temperature)
    pairs = as_pairs(scores, masks, most_scores=3)
    kinds: dict[str, Accumulator] = {"negatives": LOG_SUM_EXP, "hardest": Largest(1)}
    (stats,) = found = pairs.reduce(_negatives, kinds, [()], temperature)
    ((_, cross_entropy),) = finish_cross_entropies(pairs, found, temperature)
    (positive,) = over_positives(pairs, lambda score, *_: score, found, [()])
    loss = mean_over_anchors(pairs, cross_entropy, stats)
    log_n = mean_over_anchors(pairs, jnp.log1p(stats["num_negatives"]), stats)
    rivals = stats["num_negatives"] > 0
    hardest = pairs.total(jnp.where(rivals, stats["hardest"].values[0], 0))
    summary = {
        "mi_nats": log_n - loss,
        "loss_over_log_n": loss / jnp.where(log_n > 0, log_n, 1),
        "positive_score": mean_over_anchors(pairs, positive, stats),
        "hardest_negative_score": hardest / jnp.maximum(pairs.total(rivals.astype(loss.dtype)), 1),
    }
    return jax.lax.stop_gradient(summary)


def _negatives(
    scores: tuple[jax.Array, ...], masks: PairMasks, anchor: Any, temperature: jax.Array
) -> Mapping[str, jax.Array]:
    del anchor
    return {
        "negatives": jnp.where(masks.negative, scores[0] / temperature, -jnp.inf),
        "hardest": jnp.where(masks.negative, scores[0], -jnp.inf),
    }
