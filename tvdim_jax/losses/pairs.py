"""All pairs of a batch as a loss sees them: something to reduce over, tile by tile or at once.

A loss says what an anchor accumulates over its candidates and how to finish; it never learns
whether the pairs are a matrix in memory, a stream of tiles, or spread over devices.
"""

import abc
import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from tvdim_jax.losses.accumulators import SUM, Accumulator, accumulate
from tvdim_jax.losses.masks import MaskWords, PairMasks, float_scores, pair_masks
from tvdim_jax.losses.tiles import AxisName

Stats = dict[str, Any]
"""Results of one direction by name, anchors on the last axis; always with those of `counted`."""

Tile = Callable[[tuple[jax.Array, ...], PairMasks, Any, Any], Mapping[str, jax.Array]]
"""`tile(scores, masks, anchor, shared) -> {name: values [..., n, m]}` of one direction.

`scores` is a tuple of tiles `[..., n, m]`; `anchor` holds what the anchors bring along, shaped to
broadcast against the tile; `shared` is the same everywhere. A pair that is neither positive nor
negative must get the neutral value of its accumulator.
"""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Pairs(abc.ABC):
    """All pairs of N anchors and M candidates, and the two directions in which to read them.

    Attributes:
      single: whether it is known that no anchor has more than one positive, in both directions.
      axis_name: the mapped axis whose devices share the anchors, or None.
    """

    single: bool
    axis_name: AxisName | None = None

    @property
    @abc.abstractmethod
    def num_scores(self) -> int:
        """How many scores each pair has: the student's alone, or those of a teacher beside it."""

    @abc.abstractmethod
    def reduce(
        self,
        tile: Tile,
        kinds: Mapping[str, Accumulator],
        anchors: Sequence[Any],
        shared: Any = (),
        *,
        only_positives: bool = False,
        nth_positive: jax.Array | None = None,
    ) -> list[Stats]:
        """Accumulates the values of `tile` over the candidates of each anchor.

        Args:
          tile: pure, see `Tile`; closes over no traced value.
          kinds: the accumulator of each of its values.
          anchors: one entry a direction, rows first: a tree of float arrays `[..., N]` (or
            `[..., M]` for columns) handed to `tile`; one entry reads rows alone.
          shared: tree of float scalars handed to `tile`.
          only_positives: the values of pairs that are not positive are neutral, so tiles without a
            positive may be left out.
          nth_positive: leaves of each anchor's positives the one of this rank alone, from 0; the
            pairs must come from `rounds`.

        Returns:
          The results of each direction, differentiable.
        """

    @abc.abstractmethod
    def rounds(self) -> tuple["Pairs", jax.Array, int]:
        """These pairs prepared for `nth_positive`, and how many rounds of it there are.

        The largest number of positives of an anchor, and a static bound on it.
        """

    def total(self, values: jax.Array) -> jax.Array:
        """Sum `[...]` of values `[..., N]` over the anchors, those of all devices."""
        total = jnp.sum(values, axis=-1)
        return total if self.axis_name is None else jax.lax.psum(total, self.axis_name)

    def maximum(self, values: jax.Array) -> jax.Array:
        """Maximum `[...]` of values `[..., N]` over the anchors; a constant to gradients."""
        best = jax.lax.stop_gradient(jnp.max(values, axis=-1))
        return best if self.axis_name is None else jax.lax.pmax(best, self.axis_name)


@dataclasses.dataclass(frozen=True)
class DensePairs(Pairs):
    """Score matrices in memory.

    Attributes:
      scores: tuple of arrays `[..., N, M]`, float32 or float64.
      masks: of the same shape.
    """

    scores: tuple[jax.Array, ...]
    masks: PairMasks

    @property
    def num_scores(self) -> int:
        """How many matrices there are."""
        return len(self.scores)

    def reduce(
        self,
        tile: Tile,
        kinds: Mapping[str, Accumulator],
        anchors: Sequence[Any],
        shared: Any = (),
        *,
        only_positives: bool = False,
        nth_positive: jax.Array | None = None,
    ) -> list[Stats]:
        """Reduces the matrix at once."""
        del only_positives
        found = []
        for axis, anchor in zip((-1, -2), anchors, strict=False):
            masks = self.masks
            if nth_positive is not None:
                rank = jnp.cumsum(masks.positive, axis) - 1
                masks = masks._replace(positive=masks.positive & (rank == nth_positive))
            values = counted(tile)(self.scores, masks, spread(anchor, axis), shared)
            all_kinds = COUNTED | dict(kinds)
            found.append({name: accumulate(all_kinds[name], values[name], axis) for name in values})
        return found

    def rounds(self) -> tuple[Pairs, jax.Array, int]:
        """Counted in the masks."""
        positive = self.masks.positive
        largest = jnp.maximum(
            jnp.max(jnp.sum(positive, -1), initial=0), jnp.max(jnp.sum(positive, -2), initial=0)
        )
        return self, largest, max(positive.shape[-2:])


def as_pairs(
    scores: ArrayLike | Pairs, masks: MaskWords, *others: ArrayLike | None, most_scores: int = 1
) -> Pairs:
    """The pairs behind a loss's first argument.

    Args:
      scores: `[..., N, M]`, or pairs that `tvdim_jax.losses.pairwise` made, masks and all.
      masks: the mask words of the call.
      *others: further score matrices of the same pairs; those that are None are left out.
      most_scores: scores of a pair that the loss can use.

    Raises:
      ValueError: scores or masks of a wrong shape; a critic that gives more scores than are used;
        further matrices beside a critic.
      TypeError: a word that neither the loss nor the masks know.
    """
    if isinstance(scores, Pairs):
        _check_made(scores, masks, others, most_scores)
        return scores
    matrices = tuple(float_scores(each) for each in (scores, *others) if each is not None)
    dtype = jnp.result_type(*matrices)
    return DensePairs(
        tuple(matrix.astype(dtype) for matrix in matrices),
        pair_masks(matrices[0].shape, **masks),
        single=has_one_positive(masks),
    )


def _check_made(
    pairs: Pairs, masks: MaskWords, others: Sequence[ArrayLike | None], most_scores: int
) -> None:
    """Nothing of the call may be ignored: the pairs have taken their masks already."""
    if masks:
        raise TypeError(
            f"got unexpected words {sorted(masks)}, wanted options of this loss or mask words: "
            f"{', '.join(MaskWords.__annotations__)}"
        )
    if any(other is not None for other in others):
        raise ValueError(
            "similarities: got a matrix beside a critic, wanted it from the critic, which may "
            "return a tuple of scores; let it return them in the order of the arguments"
        )
    if pairs.num_scores > most_scores:
        raise ValueError(
            f"critic: got {pairs.num_scores} scores a pair, wanted {most_scores} at most for this "
            "loss; let it return those alone"
        )


def has_one_positive(masks: MaskWords) -> bool:
    """Whether the mask words leave the diagonal as positives."""
    return masks.get("x_positive_id") is None and masks.get("positive_mask") is None


COUNTED: dict[str, Accumulator] = dict.fromkeys(
    ("positive_score", "num_positives", "num_negatives"), SUM
)


def counted(tile: Tile) -> Tile:
    """`tile` with what every loss wants to know beside it.

    "positive_score": sum of the scores of the anchor's positives, "num_positives" and
    "num_negatives": how many it has, as floats.
    """

    def with_counts(
        scores: tuple[jax.Array, ...], masks: PairMasks, anchor: Any, shared: Any
    ) -> Mapping[str, jax.Array]:
        dtype = scores[0].dtype
        return {
            "positive_score": jnp.where(masks.positive, scores[0], 0),
            "num_positives": masks.positive.astype(dtype),
            "num_negatives": masks.negative.astype(dtype),
            **tile(scores, masks, anchor, shared),
        }

    return with_counts


def no_values(*_: Any) -> Mapping[str, jax.Array]:
    """The `Tile` of a walk that is after `counted` alone."""
    return {}


def spread(anchor: Any, axis: int) -> Any:
    """Anchors `[..., N]` -> `[..., N, 1]` for rows (axis -1), `[..., 1, N]` for columns (-2)."""
    return jax.tree.map(lambda leaf: jnp.expand_dims(leaf, axis), anchor)


def over_positives(
    pairs: Pairs,
    term: Callable[[jax.Array, Any, Any], jax.Array],
    found: Sequence[Stats],
    anchors: Sequence[Any],
    shared: Any = (),
) -> list[jax.Array]:
    """Mean of a term over the positives of each anchor, in each direction.

    Args:
      pairs: the pairs.
      term: `term(scores, anchor, shared)` of positive scores, elementwise; closes over no traced
        value.
      found: results of an earlier `pairs.reduce`, in as many directions.
      anchors: see `Pairs.reduce`.
      shared: see `Pairs.reduce`.

    Returns:
      `[..., N]` for each direction, 0 for an anchor without positives.
    """
    if pairs.single:
        return [
            jnp.where(stats["num_positives"] > 0, term(stats["positive_score"], anchor, shared), 0)
            for stats, anchor in zip(found, anchors, strict=True)
        ]

    def tile(
        scores: tuple[jax.Array, ...], masks: PairMasks, anchor: Any, shared: Any
    ) -> Mapping[str, jax.Array]:
        # The inner `where` keeps the term away from scores that it is not meant for.
        values = term(jnp.where(masks.positive, scores[0], 0), anchor, shared)
        return {"term": jnp.where(masks.positive, values, 0)}

    sums = pairs.reduce(tile, {"term": SUM}, anchors, shared, only_positives=True)
    return [stats["term"] / jnp.maximum(stats["num_positives"], 1) for stats in sums]


def mean_over_anchors(pairs: Pairs, values: jax.Array, stats: Stats) -> jax.Array:
    """Mean `[...]` of values `[..., N]` over the anchors that have a positive; 0 without any."""
    anchors = stats["num_positives"] > 0
    num_anchors = pairs.total(anchors.astype(values.dtype))
    return pairs.total(jnp.where(anchors, values, 0)) / jnp.maximum(num_anchors, 1)
