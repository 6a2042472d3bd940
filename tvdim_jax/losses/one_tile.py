"""One tile of all pairs: its scores, its masks, what it accumulates and its gradients."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from tvdim_jax.losses.accumulators import Accumulator
from tvdim_jax.losses.blocks import Critic, tile_scores
from tvdim_jax.losses.masks import PairMasks, pair_masks
from tvdim_jax.losses.pairs import Stats, Tile, spread
from tvdim_jax.losses.tiles import AxisName, Block, take

AXES = (-1, -2)  # of a tile, that a direction reduces: rows as anchors, columns as anchors


class Plan(NamedTuple):
    """What is static of a walk.

    Attributes:
      critic: `critic(params, x_tile, y_tile) -> scores [n, m]`, or a tuple of them.
      tile: what is accumulated, see `pairs.Tile`.
      kinds: how, by name.
      block: anchors and candidates of a tile, at most.
      only_positives: tiles without a positive are left out.
      axis_name: the mapped axis whose devices form the ring, or None.
      score_dtype: of the scores.
    """

    critic: Critic
    tile: Tile
    kinds: dict[str, Accumulator]
    block: int
    only_positives: bool
    axis_name: AxisName | None
    score_dtype: Any


class Side(NamedTuple):
    """One side of the pairs; whatever has a gradient is float, whatever has none comes in `words`.

    Attributes:
      features: tree of arrays `[N, ...]`, leaves without a gradient replaced by None.
      fixed: the tree of those leaves, with None for the others.
      words: "index" and "positive_id" int `[N]`; where given "where" bool `[N]` and "group_id"
        `[N, K]`; in the rounds of several positives "rank" int32 `[N]`, how many before it have the
        same positive id, and "nth" int32 `[N]`, the rank of the positives that count.
      anchor: tree of float arrays `[..., N]` that the anchors of this side bring along; None where
        this side has no anchors.
    """

    features: Any
    fixed: Any
    words: dict[str, jax.Array]
    anchor: Any

    @property
    def size(self) -> int:
        """N."""
        return self.words["index"].size


class Common(NamedTuple):
    """What all tiles share.

    Attributes:
      params: of the critic, leaves without a gradient replaced by None.
      fixed: the tree of those leaves, with None for the others.
      shared: tree of float scalars handed to `plan.tile`.
    """

    params: Any
    fixed: Any
    shared: Any


def split(tree: Any) -> tuple[Any, Any]:
    """The tree of the float leaves and the tree of the others, each with None for the rest."""
    tree = jax.tree.map(jnp.asarray, tree)

    def is_float(leaf: jax.Array) -> bool:
        return jnp.issubdtype(leaf.dtype, jnp.inexact)

    return (
        jax.tree.map(lambda leaf: leaf if is_float(leaf) else None, tree),
        jax.tree.map(lambda leaf: None if is_float(leaf) else leaf, tree),
    )


def reduce_tile(
    plan: Plan, common: Common, x: Side, y: Side, masks: list[PairMasks]
) -> list[Stats]:
    """States of the accumulators of one tile, for each side that has anchors."""
    scores = _scores_of(plan, common, x, y)(common.params, x.features, y.features)
    values = _values(plan, masks, scores, [x.anchor, y.anchor], common.shared)
    return [
        {name: plan.kinds[name].reduce(each[name], axis, side.words["index"]) for name in each}
        for each, axis, side in zip(values, AXES, (y, x), strict=False)
    ]


def tile_gradient(
    plan: Plan,
    common: Common,
    sides: tuple[Side, Side],
    masks: list[PairMasks],
    parts: list[tuple[Stats, Stats]],
) -> Any:
    """What one tile adds to the gradients.

    Args:
      plan: the walk's.
      common: the walk's.
      sides: rows and columns of the tile.
      masks: of each direction.
      parts: for each side that has anchors, their finished results and the weights of these.

    Returns:
      ((params, shared), (features of x, its anchor), (features of y, its anchor)).
    """
    x, y = sides
    scores, to_features = jax.vjp(
        _scores_of(plan, common, x, y), common.params, x.features, y.features
    )
    values, to_scores = jax.vjp(
        lambda *args: _values(plan, masks, *args), scores, [x.anchor, y.anchor], common.shared
    )
    cotangents = [
        {
            name: plan.kinds[name].pullback(
                each[name], found[name], weights[name], axis, side.words["index"]
            )
            for name in each
        }
        for each, (found, weights), axis, side in zip(values, parts, AXES, (y, x), strict=False)
    ]
    by_scores, (by_x_anchor, by_y_anchor), by_shared = to_scores(cotangents)
    by_params, by_x, by_y = to_features(by_scores)
    return (by_params, by_shared), (by_x, by_x_anchor), (by_y, by_y_anchor)


def take_side(side: Side, block: Block) -> Side:
    """The block of a side."""
    features, fixed, words = take((side.features, side.fixed, side.words), block, 0)
    return Side(features, fixed, words, take(side.anchor, block, -1))


def tile_masks(x: Side, y: Side, row: Block, column: Block) -> list[PairMasks]:
    """The masks of a tile, for each direction: they differ where ranks of positives count."""
    words: Any = {}
    for prefix, side, block in (("x", x, row), ("y", y, column)):
        words[f"{prefix}_where"] = side.words.get("where", True) & block.fresh
        words[f"{prefix}_positive_id"] = side.words["positive_id"]
        words[f"{prefix}_group_id"] = side.words.get("group_id")
    masks = pair_masks((x.size, y.size), **words)
    if "nth" not in x.words:
        return [masks, masks]
    rows = y.words["rank"] == y.words["nth"]
    columns = x.words["rank"] == x.words["nth"]
    return [
        masks._replace(positive=masks.positive & rows[None, :]),
        masks._replace(positive=masks.positive & columns[:, None]),
    ]


def _scores_of(plan: Plan, common: Common, x: Side, y: Side) -> Any:
    """The scores of a tile as a function of what they are differentiated by."""

    def scores_of(params: Any, x_features: Any, y_features: Any) -> tuple[jax.Array, ...]:
        features = _join(x_features, x.fixed), _join(y_features, y.fixed)
        return tile_scores(plan.critic, _join(params, common.fixed), *features)

    return scores_of


def _values(
    plan: Plan, masks: list[PairMasks], scores: Any, anchors: list[Any], shared: Any
) -> list[dict[str, jax.Array]]:
    """The values of each direction that has anchors."""
    return [
        dict(plan.tile(scores, mask, spread(anchor, axis), shared))
        for mask, anchor, axis in zip(masks, anchors, AXES, strict=True)
        if anchor is not None
    ]


def _join(floats: Any, others: Any) -> Any:
    return jax.tree.map(
        lambda a, b: b if a is None else a, floats, others, is_leaf=lambda leaf: leaf is None
    )
