"""The local critic: how well the regions of an image answer the tokens of a text."""

from typing import Literal, get_args

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from tvdim_jax.precision import einsum_float32

RegionPool = Literal["max", "mean", "log_mean_exp"]
TokenPool = Literal["mean"]


def local_scores(
    regions: jax.Array,
    tokens: jax.Array,
    *,
    region_where: ArrayLike | None = None,
    token_where: ArrayLike | None = None,
    region_pool: RegionPool = "max",
    token_pool: TokenPool | None = "mean",  # noqa: S107 - tokens of a text, no password
) -> jax.Array:
    """Scores of all pairs of N images and M texts from their local features.

        s_nmt = pool_r <region_nr, token_mt>,    scores_nm = mean_t s_nmt

    Pooling over regions: "max" lets one region speak for the image, "mean" all alike,
    "log_mean_exp" `log(mean_r exp s)` between the two. Give unit vectors for cosines; a text of one
    global vector is a text of one token.

    Args:
      regions: `[N, R, D]`, any float; the products are summed in float32 (float64 stays).
      tokens: `[M, T, D]`.
      region_where: bool `[N, R]`, True = real. An image without a real region scores 0.
      token_where: bool `[M, T]`, True = real. A text without a real token scores 0, a token that is
        not real scores 0.
      region_pool: "max", "mean" or "log_mean_exp".
      token_pool: "mean", or None for the score of every token.

    Returns:
      `[N, M]`, or `[N, M, T]` with `token_pool=None`; at least float32; rows are images.

    Raises:
      ValueError: features or masks of a wrong shape, or an unknown pool.

    Source: Liao et al. 2021 (arXiv 2103.04537), who let the best location answer a sentence.
    """
    check_region_pool(region_pool)
    if token_pool not in (None, "mean"):
        raise ValueError(f"token_pool: got {token_pool!r}, wanted 'mean' or None; take one of them")
    _check_shapes(regions, tokens)
    region_real = _where("region_where", region_where, regions)
    token_real = _where("token_where", token_where, tokens)

    scores = einsum_float32("nrd,mtd->nrmt", regions, tokens)
    dtype = scores.dtype
    scores = pool_regions(scores, region_real[:, :, None, None], region_pool)
    scores = jnp.where(token_real[None], scores, 0)
    if token_pool is None:
        return scores
    num_tokens = jnp.sum(token_real, axis=-1).astype(dtype)
    return jnp.sum(scores, axis=-1) / jnp.maximum(num_tokens, 1)[None]


def check_region_pool(region_pool: str) -> None:
    """Raises ValueError unless `region_pool` is one of `RegionPool`."""
    if region_pool not in get_args(RegionPool):
        raise ValueError(
            f"region_pool: got {region_pool!r}, wanted one of {', '.join(get_args(RegionPool))}; "
            "take 'max' where a text describes one region of the image"
        )


def pool_regions(scores: jax.Array, real: jax.Array, pool: RegionPool) -> jax.Array:
    """Pools the scores of the regions of images, as `local_scores` does.

    Args:
      scores: `[N, R, ...]`.
      real: bool `[N or 1, R, 1, ...]`, True = a region.
      pool: "max", "mean" or "log_mean_exp".

    Returns:
      `[N, ...]`; 0 for an image without a region.
    """
    num_regions = jnp.maximum(jnp.sum(real, axis=1).astype(scores.dtype), 1)
    if pool == "mean":
        return jnp.sum(jnp.where(real, scores, 0), axis=1) / num_regions
    any_real = jnp.any(real, axis=1, keepdims=True)
    # The outer `where` gives an image without regions zeros, so that its gradient is 0, not NaN.
    scores = jnp.where(any_real, jnp.where(real, scores, -jnp.inf), 0)
    if pool == "max":
        return jnp.max(scores, axis=1)
    pooled = jax.nn.logsumexp(scores, axis=1) - jnp.log(num_regions)
    return jnp.where(any_real[:, 0], pooled, 0)


def _check_shapes(regions: jax.Array, tokens: jax.Array) -> None:
    shapes = jnp.shape(regions), jnp.shape(tokens)
    if any(len(shape) != 3 for shape in shapes) or shapes[0][-1] != shapes[1][-1]:
        raise ValueError(
            f"local features: got regions {shapes[0]} and tokens {shapes[1]}, wanted [N, R, D] and "
            "[M, T, D]; flatten maps to one axis of regions and project both sides to one width"
        )


def _where(name: str, where: ArrayLike | None, features: jax.Array) -> jax.Array:
    """The mask `[N, R]` of features `[N, R, D]`; all real by default."""
    wanted = jnp.shape(features)[:2]
    real = jnp.ones(wanted, bool) if where is None else jnp.asarray(where, bool)
    if real.shape != wanted:
        raise ValueError(
            f"{name}: got shape {real.shape}, wanted {wanted}, one bool a vector, True = real"
        )
    return real
