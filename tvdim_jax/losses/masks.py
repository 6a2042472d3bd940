"""Which pairs of a score matrix are positives and which are negatives: one place for every loss."""

from typing import NamedTuple, TypedDict

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

_ROWS, _COLUMNS = -2, -1  # axes of scores [..., N, M]


class MaskWords(TypedDict, total=False):
    """The mask keywords that every loss on scores `[..., N, M]` takes; all of them optional.

    Attributes:
      x_where: bool `[..., N]`, True = a real anchor. Default: all real.
      y_where: bool `[..., M]`, True = a real candidate. Default: all real.
      x_positive_id: int `[..., N]`; a pair is positive where it equals `y_positive_id`. Default:
        the diagonal is positive.
      y_positive_id: int `[..., M]`, given together with `x_positive_id`.
      x_group_id: int `[N]`, `[N, K]` or `[..., N, K]`, -1 = none. A pair that is not positive and
        shares an id in one of the K columns is nobody's negative.
      y_group_id: int `[M]`, `[M, K]` or `[..., M, K]`, given together with `x_group_id`.
      where: bool `[..., N, M]`, True = the pair may take part, as positive or negative.
      positive_mask: bool `[..., N, M]`, True = positive; instead of the positive ids.
    """

    x_where: ArrayLike | None
    y_where: ArrayLike | None
    x_positive_id: ArrayLike | None
    y_positive_id: ArrayLike | None
    x_group_id: ArrayLike | None
    y_group_id: ArrayLike | None
    where: ArrayLike | None
    positive_mask: ArrayLike | None


class PairMasks(NamedTuple):
    """Disjoint masks of the pairs of a score matrix; a pair in neither takes no part.

    Attributes:
      positive: bool `[..., N, M]`.
      negative: bool `[..., N, M]`.
    """

    positive: jax.Array
    negative: jax.Array

    def transposed(self) -> "PairMasks":
        """The masks `[..., M, N]` of the other direction: candidates become anchors."""
        return PairMasks(jnp.swapaxes(self.positive, -1, -2), jnp.swapaxes(self.negative, -1, -2))


def float_scores(scores: ArrayLike) -> jax.Array:
    """Scores `[..., N, M]` in float32, or as they are when they are float64.

    Raises:
      ValueError: the scores are no matrix.
    """
    scores = jnp.asarray(scores)
    if scores.ndim < 2 or 0 in scores.shape[-2:]:
        raise ValueError(
            f"scores: got shape {scores.shape}, wanted [..., N, M], rows as anchors and columns as "
            "candidates, at least one of each; score all pairs of the batch first: x @ y.T"
        )
    return scores.astype(jnp.promote_types(scores.dtype, jnp.float32))


def pair_masks(
    shape: tuple[int, ...],
    *,
    x_where: ArrayLike | None = None,
    y_where: ArrayLike | None = None,
    x_positive_id: ArrayLike | None = None,
    y_positive_id: ArrayLike | None = None,
    x_group_id: ArrayLike | None = None,
    y_group_id: ArrayLike | None = None,
    where: ArrayLike | None = None,
    positive_mask: ArrayLike | None = None,
) -> PairMasks:
    """Positives and negatives of scores of shape `[..., N, M]`; the words are those of `MaskWords`.

        allowed  = x_where_i and y_where_j and where_ij
        positive = allowed and (positive_mask_ij, or x_positive_id_i = y_positive_id_j, or i = j)
        negative = allowed and not positive and no shared group id

    Args:
      shape: shape of the scores, `(..., N, M)`.
      x_where: see `MaskWords`, as all the others.
      y_where: bool `[..., M]`.
      x_positive_id: int `[..., N]`.
      y_positive_id: int `[..., M]`.
      x_group_id: int `[N]`, `[N, K]` or `[..., N, K]`.
      y_group_id: int `[M]`, `[M, K]` or `[..., M, K]`.
      where: bool, broadcastable to `[..., N, M]`.
      positive_mask: bool, broadcastable to `[..., N, M]`.

    Returns:
      `PairMasks` of bool arrays of the given shape.

    Raises:
      ValueError: a mask does not fit the scores, ids are no integers, one id of a pair is missing,
        or positives are given both as ids and as a mask.
    """
    _check_pair("positive_id", x_positive_id, y_positive_id)
    _check_pair("group_id", x_group_id, y_group_id)
    if positive_mask is not None and x_positive_id is not None:
        raise ValueError(
            "positives: got positive_mask and x_positive_id, wanted one of them; drop the mask or "
            "the ids"
        )
    allowed = jnp.ones(shape, bool)
    if x_where is not None:
        allowed &= _spread("x_where", jnp.asarray(x_where, bool), _ROWS, shape)
    if y_where is not None:
        allowed &= _spread("y_where", jnp.asarray(y_where, bool), _COLUMNS, shape)
    if where is not None:
        allowed &= _fit("where", jnp.asarray(where, bool), shape)
    if positive_mask is not None:
        positive = _fit("positive_mask", jnp.asarray(positive_mask, bool), shape)
    elif x_positive_id is not None and y_positive_id is not None:
        x_id = _spread("x_positive_id", _ids("x_positive_id", x_positive_id), _ROWS, shape)
        y_id = _spread("y_positive_id", _ids("y_positive_id", y_positive_id), _COLUMNS, shape)
        positive = x_id == y_id
    else:
        positive = jnp.broadcast_to(jnp.eye(shape[-2], shape[-1], dtype=bool), shape)
    negative = allowed & ~positive
    if x_group_id is not None and y_group_id is not None:
        negative &= ~_same_group(x_group_id, y_group_id, shape)
    return PairMasks(positive & allowed, negative)


def _same_group(x_group_id: ArrayLike, y_group_id: ArrayLike, shape: tuple[int, ...]) -> jax.Array:
    """True where row and column share an id, other than -1, in one of the K columns of ids."""
    x_ids, y_ids = _id_columns("x_group_id", x_group_id), _id_columns("y_group_id", y_group_id)
    if len(x_ids) != len(y_ids):
        raise ValueError(
            f"group ids: got {len(x_ids)} columns in x_group_id and {len(y_ids)} in y_group_id, "
            "wanted as many: column k means the same thing on both sides"
        )
    same = jnp.zeros(shape, bool)
    for x_column, y_column in zip(x_ids, y_ids, strict=True):  # one [N, M] comparison at a time
        x_id = _spread("x_group_id", x_column, _ROWS, shape)
        y_id = _spread("y_group_id", y_column, _COLUMNS, shape)
        same |= (x_id == y_id) & (x_id != -1)
    return same


def _id_columns(name: str, values: ArrayLike) -> list[jax.Array]:
    """`[N]` -> its one column, `[..., N, K]` -> K columns `[..., N]`."""
    ids = _ids(name, values)
    return [ids] if ids.ndim < 2 else [ids[..., k] for k in range(ids.shape[-1])]


def _ids(name: str, values: ArrayLike) -> jax.Array:
    ids = jnp.asarray(values)
    if not jnp.issubdtype(ids.dtype, jnp.integer):
        raise ValueError(
            f"{name}: got dtype {ids.dtype}, wanted integers: floats make distinct ids equal; "
            "pass int32"
        )
    return ids


def _check_pair(name: str, x: ArrayLike | None, y: ArrayLike | None) -> None:
    if (x is None) != (y is None):
        missing = f"x_{name}" if x is None else f"y_{name}"
        raise ValueError(f"got only one of x_{name} and y_{name}, wanted both: add {missing}")


def _spread(name: str, values: jax.Array, axis: int, shape: tuple[int, ...]) -> jax.Array:
    """Values `[..., N]` of the rows, or `[..., M]` of the columns, over the pairs of the scores."""
    if values.ndim == 0 or values.shape[-1] != shape[axis]:
        raise ValueError(
            f"{name}: got shape {values.shape}, wanted [..., {shape[axis]}] for scores [..., N, M] "
            f"of shape {shape}; x_* words belong to rows, y_* words to columns"
        )
    return _fit(name, jnp.expand_dims(values, -1 if axis == _ROWS else -2), shape)


def _fit(name: str, values: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    try:
        return jnp.broadcast_to(values, shape)
    except ValueError:
        raise ValueError(
            f"{name}: got a mask that spreads to {values.shape}, wanted one that fits scores "
            f"[..., N, M] of shape {shape}; give it the leading axes of the scores, or none"
        ) from None
