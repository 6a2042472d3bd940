"""Pairs given as features and a critic: scored all at once where that is small, else streamed."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from tvdim_jax.losses.accumulators import Accumulator
from tvdim_jax.losses.blocks import (
    Critic,
    ScoreSpec,
    check_critic,
    choose_block,
    leading_size,
    tile_scores,
)
from tvdim_jax.losses.masks import MaskWords, pair_masks
from tvdim_jax.losses.one_tile import Plan, Side, split
from tvdim_jax.losses.pairs import (
    COUNTED,
    DensePairs,
    Pairs,
    Stats,
    Tile,
    counted,
    has_one_positive,
)
from tvdim_jax.losses.stream import walk
from tvdim_jax.losses.tiles import AxisName
from tvdim_jax.precision import varying

_Words = tuple[dict[str, jax.Array], dict[str, jax.Array]]


@dataclasses.dataclass(frozen=True)
class StreamedPairs(Pairs):
    """Pairs whose scores are made tile by tile.

    Attributes:
      critic: `critic(params, x_tile, y_tile) -> scores [n, m]`, or a tuple of them.
      params: of the critic.
      x: tree of arrays `[N, ...]`: this device's rows.
      y: tree of arrays `[M, ...]`: this device's columns.
      words: those of x and of y, see `one_tile.Side`.
      block: anchors and candidates of a tile, at most.
      scores: what the critic gives for a pair.
    """

    critic: Critic
    params: Any
    x: Any
    y: Any
    words: _Words
    block: int
    scores: ScoreSpec

    @property
    def num_scores(self) -> int:
        """How many tiles of scores the critic gives."""
        return self.scores.num_scores

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
        """Walks over the tiles."""
        plan = Plan(
            critic=self.critic,
            tile=counted(tile),
            kinds=COUNTED | dict(kinds),
            block=self.block,
            only_positives=only_positives,
            axis_name=self.axis_name,
            score_dtype=self.scores.dtype,
        )
        words = self.words
        if nth_positive is not None:
            words = _each(words, lambda w: {"nth": jnp.broadcast_to(nth_positive, w["rank"].shape)})
        anchors = [*anchors, None][:2]
        x, y = (
            Side(*split(features), word, anchor)
            for features, word, anchor in zip((self.x, self.y), words, anchors, strict=True)
        )
        shared = jax.tree.map(lambda value: jnp.asarray(value, self.scores.dtype), shared)
        return walk(plan, self.params, x, y, shared)

    def rounds(self) -> tuple[Pairs, jax.Array, int]:
        """The ranks among equal ids, once for all rounds."""
        words = _each(self.words, lambda w: {"rank": _rank(w["positive_id"], self.axis_name)})
        largest = jnp.maximum(*(jnp.max(each["rank"]) for each in words)) + 1
        if self.axis_name is not None:
            largest = jax.lax.pmax(largest, self.axis_name)
        bound = max(each["rank"].size for each in words) * _num_devices(self.axis_name)
        return dataclasses.replace(self, words=words), largest, bound


def pairs_of(
    critic: Critic,
    x: Any,
    y: Any,
    *,
    params: Any = (),
    block_size: int | None = None,
    axis_name: AxisName | None = None,
    masks: MaskWords,
) -> Pairs:
    """All pairs of x and y under a critic; for the arguments see `tvdim_jax.losses.pairwise`.

    Raises:
      ValueError: see there.
    """
    _check(block_size, masks)
    num_x, num_y = leading_size("x", x), leading_size("y", y)
    if axis_name is not None:
        _check_split("x", x, axis_name)
        _check_split("y", y, axis_name)
    spec = check_critic(critic, params, x, y)
    jax.eval_shape(partial(pair_masks, (num_x, num_y), **masks))  # raises what it would raise
    known: Any = {"single": has_one_positive(masks), "axis_name": axis_name}
    if block_size is None:
        block_size = choose_block(critic, params, x, y)
        if block_size is None and _num_devices(axis_name) == 1:
            scores = tile_scores(critic, params, x, y)
            return DensePairs(scores, pair_masks((num_x, num_y), **masks), **known)
    return StreamedPairs(
        critic=critic,
        params=params,
        x=x,
        y=y,
        words=(_words("x", num_x, masks, axis_name), _words("y", num_y, masks, axis_name)),
        block=block_size or max(num_x, num_y),
        scores=spec,
        **known,
    )


def _words(
    prefix: str, num: int, masks: MaskWords, axis_name: AxisName | None
) -> dict[str, jax.Array]:
    """The words of one side as `one_tile.Side` wants them; indices count through all devices."""
    first = 0 if axis_name is None else jax.lax.axis_index(axis_name) * num
    index = first + jnp.arange(num, dtype=jnp.int32)
    given = {word: masks.get(f"{prefix}_{word}") for word in ("positive_id", "where", "group_id")}
    words = {
        word: jnp.asarray(value, bool if word == "where" else None)
        for word, value in given.items()
        if value is not None
    }
    return {"index": index, "positive_id": index} | words


def _rank(ids: jax.Array, axis_name: AxisName | None) -> jax.Array:
    """How many before each entry have its id, int32 `[N]`, counted over all devices."""
    every = ids if axis_name is None else jax.lax.all_gather(ids, axis_name, tiled=True)
    order = jnp.argsort(every, stable=True)
    ordered = every[order]
    rank_in_order = jnp.arange(every.size) - jnp.searchsorted(ordered, ordered)
    rank = jnp.zeros_like(order).at[order].set(rank_in_order).astype(jnp.int32)
    if axis_name is None:
        return rank
    return jax.lax.dynamic_slice_in_dim(rank, jax.lax.axis_index(axis_name) * ids.size, ids.size)


def _each(words: _Words, more: Callable[[dict[str, jax.Array]], dict[str, jax.Array]]) -> _Words:
    """The words of both sides, with more of each."""
    return words[0] | more(words[0]), words[1] | more(words[1])


def _num_devices(axis_name: AxisName | None) -> int:
    return 1 if axis_name is None else jax.lax.axis_size(axis_name)


def _check_split(side: str, tree: Any, axis_name: AxisName) -> None:
    """Raises ValueError for a side that every device holds whole: it would count many times."""
    known = varying(jax.lax.axis_index(axis_name))  # nothing where types are not checked
    if known and not any(known & varying(leaf) for leaf in jax.tree.leaves(tree)):
        raise ValueError(
            f"{side}: got the same rows on every device of {axis_name!r}, wanted the shard of "
            f"each; split {side} over that axis with in_specs, or leave out axis_name"
        )


def _check(block_size: int | None, masks: MaskWords) -> None:
    if block_size is not None and (not isinstance(block_size, int) or block_size < 1):
        raise ValueError(
            f"block_size: got {block_size}, wanted an integer of at least 1, or None to let the "
            "memory that a tile takes decide"
        )
    for word in ("where", "positive_mask"):
        if masks.get(word) is not None:
            raise ValueError(
                f"{word}: got an array of all pairs, wanted words of rows and columns (x_where, "
                "y_where and ids), as no [N, M] is made here; the form on scores takes it"
            )
