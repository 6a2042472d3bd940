"""What to watch of SRCL's weights: how many negatives they spare, and what that does."""

from collections.abc import Mapping
from functools import partial
from typing import Any, Unpack

import jax
import jax.numpy as jnp

from tvdim_jax.losses.accumulators import LOG_SUM_EXP, SUM, LogSum
from tvdim_jax.losses.info_nce import check_temperature
from tvdim_jax.losses.masks import MaskWords, PairMasks
from tvdim_jax.losses.pairs import Pairs
from tvdim_jax.losses.similarity_regulated import (
    Norm,
    check_norm,
    pairs_with_similarity,
    raw_log_weights,
)

_Options = tuple[Norm, float]


def weight_summary(
    scores: jax.Array | Pairs,
    similarity: jax.Array | None = None,
    teacher_similarity: jax.Array | None = None,
    *,
    temperature: jax.Array | float,
    teacher_share: jax.Array | float = 0.0,
    norm: Norm = "ratio",
    delta: float = 1.0,
    **masks: Unpack[MaskWords],
) -> dict[str, jax.Array]:
    """Numbers of the weights of `similarity_regulated_loss`, rows as anchors.

    The bound behind the loss asks for two things of the weights w of an anchor's negatives, whose
    scores are f = exp(scores / temperature): E w = 1 and Cov(w, f) <= 0.

    Args:
      scores: see `similarity_regulated_loss`, as all the others.
      similarity: `[..., N, M]`.
      teacher_similarity: `[..., N, M]`.
      temperature: > 0.
      teacher_share: in 0..1.
      norm: of the weights.
      delta: of the weights.
      **masks: see `tvdim_jax.losses.masks.MaskWords`.

    Returns:
      Scalars `[...]`, none with a gradient, 0 without negatives:

      - "below_0.2", "below_0.7": share of all negatives whose weight is less;
      - "row_mean": mean over anchors with a negative of E w, 1 but for rounding;
      - "log_effect": mean over the same of log(E[w f] / E[f]), nats, below 0 where Cov(w, f) is.

    Raises:
      ValueError: see `similarity_regulated_loss`.

    Source: Jiang et al. 2023 (arXiv 2305.04474), appendix C, and 4.3 for the thresholds.
    """
    check_temperature(temperature)
    check_norm(norm, delta)
    pairs = pairs_with_similarity(scores, similarity, teacher_similarity, teacher_share, masks)
    shared = {"temperature": temperature, "share": teacher_share}
    log_terms, terms = partial(_log_terms, (norm, delta)), partial(_weights, (norm, delta))
    (sums,) = pairs.reduce(
        log_terms, dict.fromkeys(("scores", "weights", "products"), LOG_SUM_EXP), [()], shared
    )
    count = sums["num_negatives"]
    log_unit = jnp.log(jnp.maximum(count, 1)) - _whole(sums["weights"])
    (found,) = pairs.reduce(
        terms, dict.fromkeys(("below_0.2", "below_0.7", "weights"), SUM), [log_unit], shared
    )
    rivals = (count > 0).astype(log_unit.dtype)
    effect = _whole(sums["products"]) + log_unit - _whole(sums["scores"])

    def share_of(name: str) -> jax.Array:
        return pairs.total(found[name]) / jnp.maximum(pairs.total(count), 1)

    def mean_of(values: jax.Array) -> jax.Array:
        return pairs.total(rivals * values) / jnp.maximum(pairs.total(rivals), 1)

    summary = {
        "below_0.2": share_of("below_0.2"),
        "below_0.7": share_of("below_0.7"),
        "row_mean": mean_of(found["weights"] / jnp.maximum(count, 1)),
        "log_effect": mean_of(effect),
    }
    return jax.lax.stop_gradient(summary)


def _whole(total: LogSum) -> jax.Array:
    return total.best + total.log_sum


def _log_terms(
    options: _Options,
    scores: tuple[jax.Array, ...],
    masks: PairMasks,
    anchor: Any,
    shared: Mapping[str, jax.Array],
) -> Mapping[str, jax.Array]:
    del anchor
    norm, delta = options
    logits = scores[0] / shared["temperature"]
    log_weights = raw_log_weights(scores, masks, shared["share"], norm=norm, delta=delta)
    terms = {"scores": logits, "weights": log_weights, "products": logits + log_weights}
    return {name: jnp.where(masks.negative, value, -jnp.inf) for name, value in terms.items()}


def _weights(
    options: _Options,
    scores: tuple[jax.Array, ...],
    masks: PairMasks,
    log_unit: jax.Array,
    shared: Mapping[str, jax.Array],
) -> Mapping[str, jax.Array]:
    norm, delta = options
    log_weights = raw_log_weights(scores, masks, shared["share"], norm=norm, delta=delta)
    weights = jnp.where(masks.negative, jnp.exp(log_weights + log_unit), 0)
    below = {f"below_{bound}": masks.negative & (weights < bound) for bound in (0.2, 0.7)}
    return {"weights": weights} | {k: v.astype(weights.dtype) for k, v in below.items()}
