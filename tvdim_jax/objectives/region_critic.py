"""The local critic of LMI: how well the regions of an image answer a sentence."""

from collections.abc import Mapping
from functools import partial
from typing import Any, Literal, get_args

import jax
import jax.numpy as jnp

from tvdim_jax.critics.pair_critic import PairCritic
from tvdim_jax.losses.local import RegionPool, pool_regions

NegativeRegions = Literal["own", "positive", "all"]
Images = Mapping[str, jax.Array]
Sentences = Mapping[str, jax.Array]


def region_scores(
    critic: PairCritic,
    params: Any,
    images: Images,
    sentences: Sentences,
    *,
    region_pool: RegionPool,
    negative_regions: NegativeRegions,
) -> jax.Array:
    """Scores of all pairs of images and sentences.

        g(i, m) = pool_r f(v_ir, s_m)

    for the sentence's own image. For the others, the negatives,

    - "own": the same, so that each image answers with its own best regions;
    - "positive": f(v_ir*, s_m) at the region r* that answered in the sentence's own image;
    - "all": log mean_r exp f(v_ir, s_m), every region a negative of its own (exactly so for the
      bounds that take a mean of exp).

    Args:
      critic: f.
      params: of the critic.
      images: "regions" `[n, R, H]`, projected; "row" int `[n]`, the number of the image.
      sentences: "vector" `[m, H]`, projected; "row" int `[m]`, the number of its image; for
        "positive" also "region" int `[m]` from `best_region`.
      region_pool: see `tvdim_jax.losses.local_scores`.
      negative_regions: one of the three.

    Returns:
      `[n, m]`, at least float32.

    Source: Liao et al. 2021 (arXiv 2103.04537); the choice for negatives is left open there.
    """
    num, num_regions, width = images["regions"].shape
    flat = images["regions"].reshape(num * num_regions, width)
    scores = critic.score(params, flat, sentences["vector"]).reshape(num, num_regions, -1)
    pooled = pool_regions(scores, jnp.ones((1, num_regions, 1), bool), region_pool)
    if negative_regions == "own":
        return pooled
    if negative_regions == "positive":
        at = sentences["region"][None, None, :]
        others = jnp.take_along_axis(scores, at, axis=1)[:, 0]
    else:
        others = jax.nn.logsumexp(scores, axis=1) - jnp.log(num_regions)
    own = images["row"][:, None] == sentences["row"][None, :]
    return jnp.where(own, pooled, others)


def best_region(
    critic: PairCritic, params: Any, regions: jax.Array, sentences: jax.Array
) -> jax.Array:
    """The region of each image that answers its own sentences best.

    Args:
      critic: f.
      params: of the critic.
      regions: `[B, R, H]`, projected.
      sentences: `[B, S, H]`, projected.

    Returns:
      int32 `[B, S]` in 0..R - 1, without a gradient.
    """
    scores_of = partial(critic.score, jax.lax.stop_gradient(params))

    def best(image: tuple[jax.Array, jax.Array]) -> jax.Array:
        return jnp.argmax(scores_of(*image), axis=0)

    # One image after another: a learned critic's hidden layer on all B R S pairs may not fit.
    return jax.lax.map(best, jax.lax.stop_gradient((regions, sentences))).astype(jnp.int32)


def check_negative_regions(negative_regions: str, region_pool: str) -> None:
    """Raises ValueError unless both fit together."""
    if negative_regions not in get_args(NegativeRegions):
        raise ValueError(
            f"negative_regions: got {negative_regions!r}, wanted one of "
            f"{', '.join(get_args(NegativeRegions))}; take 'own' to treat all pairs alike"
        )
    if negative_regions == "positive" and region_pool != "max":
        raise ValueError(
            f"negative_regions: got 'positive' with region_pool {region_pool!r}, wanted 'max', as "
            "only a maximum picks one region; take 'own', or region_pool 'max'"
        )
