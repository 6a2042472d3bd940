"""SRCL: InfoNCE whose negatives weigh less the more they resemble a match."""

from collections.abc import Mapping
from functools import partial
from typing import Any, Literal, Unpack, get_args

import jax
import jax.numpy as jnp

from tvdim_jax.losses.accumulators import LOG_SUM_EXP, accumulate
from tvdim_jax.losses.info_nce import check_temperature, finish_cross_entropies
from tvdim_jax.losses.masks import MaskWords, PairMasks, float_scores, pair_masks
from tvdim_jax.losses.pairs import Pairs, as_pairs, mean_over_anchors

Norm = Literal["ratio", "softmax", "power"]


def similarity_regulated_loss(
    scores: jax.Array | Pairs,
    similarity: jax.Array | None = None,
    teacher_similarity: jax.Array | None = None,
    *,
    temperature: jax.Array | float,
    teacher_share: jax.Array | float = 0.0,
    norm: Norm = "ratio",
    delta: float = 1.0,
    symmetric: bool = True,
    weight_gradient: bool = False,
    **masks: Unpack[MaskWords],
) -> jax.Array:
    """InfoNCE loss with weighted negatives, the weights of an anchor 1 on average.

    With logits z = scores / temperature, similarities c (student) and c' (teacher) of a pair, and
    share a:

        s_ij = a exp c'_ij + (1 - a) exp c_ij
        w_ij = Norm(delta / s_ij), see `similarity_weights`
        rows = mean_i mean_{p in P_i} -log( exp z_ip / (exp z_ip + sum_{j in N_i} w_ij exp z_ij) )
        loss = (rows + the same over columns as anchors) / 2, or rows alone if not symmetric

    Positives have no weight and take no part in Norm.

    Args:
      scores: `[..., N, M]`, any float, cosines unless `similarity` is given; rows are anchors,
        reduced in float32 (float64 stays). `pairwise`: the critic returns scores alone, (scores,
        similarity) or (scores, similarity, teacher_similarity).
      similarity: `[..., N, M]`, cosines by the model; default: the scores.
      teacher_similarity: `[..., N, M]`, cosines by a teacher; needed for a share above 0.
      temperature: > 0, divides the scores, not the similarities; may be traced and learned.
      teacher_share: in 0..1, of the teacher in s; may be traced (a schedule), has no gradient.
      norm: see `similarity_weights`.
      delta: > 0, see `similarity_weights`.
      symmetric: also take columns as anchors, with weights normalised over each column.
      weight_gradient: let gradients pass through the weights to the student.
      **masks: see `tvdim_jax.losses.masks.MaskWords`; default: the diagonal is positive.

    Returns:
      `[...]`, nats, >= 0, at least float32. An anchor without negatives gives 0 and no gradient.

    Raises:
      ValueError: an unknown norm; delta, or a concrete temperature or share, out of range; a share
        without a teacher; scores, similarities or masks of a wrong shape.

    Source: Jiang et al. 2023 (arXiv 2305.04474), equations 4 to 9.
    """
    check_temperature(temperature)
    check_norm(norm, delta)
    pairs = pairs_with_similarity(scores, similarity, teacher_similarity, teacher_share, masks)
    tile = partial(_weighted_negatives, (norm, delta, weight_gradient))
    kinds = {"negatives": LOG_SUM_EXP, "weights": LOG_SUM_EXP}
    shared = {"temperature": temperature, "share": jax.lax.stop_gradient(teacher_share)}
    found = pairs.reduce(tile, kinds, [()] * (1 + symmetric), shared)
    # log sum_j w_ij e^z_ij = log sum_j e^(z + x)_ij - log sum_j e^x_ij + log K_i: the weights need
    # no pass of their own.
    for stats in found:
        negatives, weights = stats["negatives"], stats["weights"]
        log_count = jnp.log(jnp.maximum(stats["num_negatives"], 1))
        log_sum = negatives.log_sum - weights.log_sum + (log_count - weights.best)
        stats["negatives"] = negatives._replace(log_sum=log_sum)
    directions = finish_cross_entropies(pairs, found, temperature)
    losses = [mean_over_anchors(pairs, values, stats) for stats, values in directions]
    return sum(losses[1:], start=losses[0]) / len(losses)


def similarity_weights(
    similarity: jax.Array,
    *,
    norm: Norm = "ratio",
    delta: float = 1.0,
    **masks: Unpack[MaskWords],
) -> jax.Array:
    """The weights of the negatives, for diagnostics.

    With s = exp(similarity), K_i negatives of row i and sums over them:

        ratio:    w_ij = K_i (1 / s_ij) / sum_k 1 / s_ik                     (delta cancels)
        softmax:  w_ij = K_i exp(delta / s_ij) / sum_k exp(delta / s_ik)
        power:    w_ij = K_i s_ij^-delta / sum_k s_ik^-delta

    Args:
      similarity: `[..., N, M]`, cosines of anchors (rows) and candidates; transpose it for the
        other direction. For a mixture with share a: `logaddexp(log a + teacher, log1p(-a) + own)`.
      norm: "ratio", the paper's words taken literally; "softmax", with delta 5, and "power", with
        delta 4 or 5, give the weights that the paper reports.
      delta: > 0, sharpness.
      **masks: see `tvdim_jax.losses.masks.MaskWords`; default: the diagonal is positive.

    Returns:
      `[..., N, M]`, > 0 with mean 1 over the negatives of a row, 0 for all other pairs.

    Raises:
      ValueError: an unknown norm, delta <= 0, similarity or masks of a wrong shape.

    Source: Jiang et al. 2023 (arXiv 2305.04474), equation 9; it leaves Norm and delta open.
    """
    check_norm(norm, delta)
    similarity = float_scores(similarity)
    negative = pair_masks(similarity.shape, **masks).negative
    logits = jnp.where(negative, _log_weights(similarity, norm, delta), -jnp.inf)
    total = accumulate(LOG_SUM_EXP, logits, -1)
    log_count = jnp.log(jnp.maximum(jnp.sum(negative, -1).astype(logits.dtype), 1))
    return jnp.exp(logits - total.best[..., None] + (log_count - total.log_sum)[..., None])


def linear_teacher_share(step: jax.Array | int, num_steps: int) -> jax.Array:
    """The teacher's share, falling from 1 at step 0 to 0 at step `num_steps`, and 0 from there on.

    Args:
      step: int scalar, updates done.
      num_steps: >= 1.

    Returns:
      float32 scalar, `max(0, 1 - step / num_steps)`.

    Source: Jiang et al. 2023 (arXiv 2305.04474), section 3.4, which leaves the form open.
    """
    return jnp.maximum(0, 1 - jnp.asarray(step, jnp.float32) / num_steps)


def pairs_with_similarity(
    scores: jax.Array | Pairs,
    similarity: jax.Array | None,
    teacher_similarity: jax.Array | None,
    teacher_share: jax.Array | float,
    masks: MaskWords,
) -> Pairs:
    """The pairs behind the arguments of `similarity_regulated_loss`.

    Raises:
      ValueError: wrong shapes; a concrete share out of range; a share without a teacher.
    """
    student: Any = similarity
    if teacher_similarity is not None and similarity is None:
        student = scores
    pairs = as_pairs(scores, masks, student, teacher_similarity, most_scores=3)
    _check_share(teacher_share, has_teacher=pairs.num_scores == 3)
    return pairs


def raw_log_weights(
    scores: tuple[jax.Array, ...],
    masks: PairMasks,
    share: jax.Array,
    *,
    norm: Norm,
    delta: float,
) -> jax.Array:
    """Log of the weights of a tile's negatives, up to a constant of the anchor.

    Args:
      scores: tuple of `[..., n, m]`: scores, similarity if another, teacher similarity if any.
      masks: of the tile.
      share: the teacher's, in 0..1.
      norm: see `similarity_weights`.
      delta: see `similarity_weights`.

    Returns:
      `[..., n, m]`, finite; without meaning for a pair that is no negative.
    """
    # Masked similarities may be NaN, and NaN would pass the gradient of a later `where`.
    log_s = jnp.where(masks.negative, scores[min(1, len(scores) - 1)], 0)
    if len(scores) == 3:
        teacher = jax.lax.stop_gradient(jnp.where(masks.negative, scores[2], 0))
        log_s = jnp.logaddexp(jnp.log(share) + teacher, jnp.log1p(-share) + log_s)
    return _log_weights(log_s, norm, delta)


def check_norm(norm: str, delta: float) -> None:
    """Raises ValueError unless `norm` is one of `Norm` and delta is above 0."""
    if norm not in get_args(Norm):
        raise ValueError(
            f"norm: got {norm!r}, wanted one of {', '.join(get_args(Norm))}; 'softmax' with delta "
            "5 gives weights like the paper's"
        )
    if not delta > 0:
        raise ValueError(f"delta: got {delta}, wanted a number above 0; 5 is usual for 'softmax'")


def _check_share(teacher_share: jax.Array | float, *, has_teacher: bool) -> None:
    if isinstance(teacher_share, jax.core.Tracer):
        if not has_teacher:
            raise ValueError(
                "teacher_share: got a traced share without teacher_similarity, wanted both; give "
                "the teacher's cosines, or leave the share at 0"
            )
        return
    if not 0 <= float(teacher_share) <= (1 if has_teacher else 0):
        wanted = "0..1" if has_teacher else "0 without teacher_similarity"
        raise ValueError(
            f"teacher_share: got {teacher_share}, wanted {wanted}; it is the teacher's part of the "
            "similarity, from 1 at the start of training down to 0"
        )


def _weighted_negatives(
    options: tuple[Norm, float, bool],
    scores: tuple[jax.Array, ...],
    masks: PairMasks,
    anchor: Any,
    shared: Mapping[str, jax.Array],
) -> Mapping[str, jax.Array]:
    del anchor
    norm, delta, weight_gradient = options
    logits = scores[0] / shared["temperature"]
    log_weights = raw_log_weights(scores, masks, shared["share"], norm=norm, delta=delta)
    if not weight_gradient:
        log_weights = jax.lax.stop_gradient(log_weights)
    return {
        "negatives": jnp.where(masks.negative, logits + log_weights, -jnp.inf),
        "weights": jnp.where(masks.negative, log_weights, -jnp.inf),
    }


def _log_weights(log_s: jax.Array, norm: Norm, delta: float) -> jax.Array:
    """Log of the weights, up to a constant of the anchor; log_s is the log of s."""
    if norm == "softmax":
        return delta * jnp.exp(-log_s)
    return -log_s if norm == "ratio" else -delta * log_s
