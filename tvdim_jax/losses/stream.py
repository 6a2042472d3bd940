"""All pairs as a stream of tiles: scores are made, reduced and forgotten.

The backward pass makes them again. What is kept grows with N + M. On a ring of devices each holds
its rows, and the candidates of the others come by one shard at a time, with all that their side
accumulates, until they are home again.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from tvdim_jax.losses.accumulators import Accumulator
from tvdim_jax.losses.blocks import Critic, tile_scores
from tvdim_jax.losses.masks import PairMasks, pair_masks
from tvdim_jax.losses.pairs import Stats, Tile, spread
from tvdim_jax.losses.tiles import Block, add, for_each_tile, put, round_the_ring, take, vary_like

_AXES = (-1, -2)  # of a tile, that a direction reduces: rows as anchors, columns as anchors


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
    axis_name: str | None
    score_dtype: Any


class Side(NamedTuple):
    """One side of the pairs; whatever has a gradient is float, whatever has none comes in `words`.

    Attributes:
      features: tree of arrays `[N, ...]`, leaves without a gradient replaced by None.
      fixed: the tree of those leaves, with None for the others.
      words: "index" and "positive_id" int `[N]`, "rank" int32 `[N]` (how many before it have the
        same positive id); where given "where" bool `[N]`, "group_id" `[N, K]`, and "nth" int32
        `[N]`, the rank of the positives that count.
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


def walk(plan: Plan, params: Any, x: Side, y: Side, shared: Any) -> list[Stats]:
    """Accumulates the values of `plan.tile` over all pairs, for each side that has anchors.

    Args:
      plan: what to do.
      params: of the critic; tree of arrays.
      x: the rows.
      y: the columns.
      shared: tree of float scalars handed to the tile.

    Returns:
      The results of x, and of y if it has anchors; differentiable by params, features, anchors and
      shared.
    """
    params, fixed_params = split(params)

    @jax.custom_vjp
    def run(*operands: Any) -> list[Stats]:
        return _forward(plan, *operands)

    def forward(*operands: Any) -> tuple[list[Stats], Any]:
        found = run(*operands)
        return found, (operands, found)

    def backward(saved: Any, cotangents: list[Stats]) -> tuple[Any, ...]:
        operands, found = saved
        weights = [
            {name: plan.kinds[name].weight(cotangent) for name, cotangent in stats.items()}
            for stats in cotangents
        ]
        return _backward(plan, *operands, found, weights)

    run.defvjp(forward, backward)
    operands = (params, fixed_params, x, y, shared)
    return run(*vary_like(operands, operands, plan.axis_name))


def split(tree: Any) -> tuple[Any, Any]:
    """The tree of the float leaves and the tree of the others, each with None for the rest."""
    tree = jax.tree.map(jnp.asarray, tree)

    def is_float(leaf: jax.Array) -> bool:
        return jnp.issubdtype(leaf.dtype, jnp.inexact)

    return (
        jax.tree.map(lambda leaf: leaf if is_float(leaf) else None, tree),
        jax.tree.map(lambda leaf: None if is_float(leaf) else leaf, tree),
    )


def _join(floats: Any, others: Any) -> Any:
    return jax.tree.map(
        lambda a, b: b if a is None else a, floats, others, is_leaf=lambda leaf: leaf is None
    )


def _forward(plan: Plan, params: Any, fixed: Any, x: Side, y: Side, shared: Any) -> list[Stats]:
    operands = (params, fixed, x, y, shared)

    def empty(size: int) -> Any:
        like = jnp.zeros(size, plan.score_dtype)
        states = {name: kind.empty(like) for name, kind in plan.kinds.items()}
        return vary_like(states, operands, plan.axis_name)

    def visit(rows: Any, travelling: Any) -> tuple[Any, Any]:
        y, columns = travelling

        def visit_tile(row: Block, column: Block, states: list[Any]) -> list[Any]:
            tile_x, tile_y = _take(x, row), _take(y, column)
            masks = _masks(tile_x, tile_y, row, column)

            def reduce() -> list[Any]:
                scores = tile_scores(
                    plan.critic,
                    _join(params, fixed),
                    _join(tile_x.features, tile_x.fixed),
                    _join(tile_y.features, tile_y.fixed),
                )
                values = _values(plan, masks, scores, [tile_x.anchor, tile_y.anchor], shared)
                return [
                    {name: plan.kinds[name].reduce(each[name], axis, candidates.words["index"])
                     for name in each}
                    for each, axis, candidates in zip(values, _AXES, (tile_y, tile_x))
                ]  # fmt: skip

            def nothing() -> list[Any]:
                return [empty(block.fresh.size) for block, _ in zip((row, column), states)]

            found = _unless_empty(plan, masks, reduce, nothing)
            return [
                put(state, _merge(plan, take(state, block, -1), part), block, -1)
                for state, part, block in zip(states, found, (row, column))
            ]

        states = for_each_tile(x.size, y.size, plan.block, visit_tile, [rows, *columns])
        return states[0], (y, states[1:])

    columns = [empty(y.size)] if y.anchor is not None else []
    rows, (_, columns) = round_the_ring(plan.axis_name, visit, empty(x.size), (y, columns))
    return [
        {name: plan.kinds[name].result(state) for name, state in each.items()}
        for each in [rows, *columns]
    ]


def _backward(
    plan: Plan, params: Any, fixed: Any, x: Side, y: Side, shared: Any,
    found: list[Stats], weights: list[Stats],
) -> tuple[Any, ...]:  # fmt: skip
    """Gradients by the operands of `run`, in their order."""
    operands = (params, fixed, x, y, shared)

    def zeros(tree: Any) -> Any:  # sums of many tiles, so float32 at least
        empty = jax.tree.map(
            lambda leaf: jnp.zeros(leaf.shape, jnp.promote_types(leaf.dtype, jnp.float32)), tree
        )
        return vary_like(empty, operands, plan.axis_name)

    def visit(staying: Any, travelling: Any) -> tuple[Any, Any]:
        y, columns, y_gradient = travelling
        results = [(found[0], weights[0]), *columns]

        def visit_tile(row: Block, column: Block, carry: Any) -> Any:
            tile_x, tile_y = _take(x, row), _take(y, column)
            masks = _masks(tile_x, tile_y, row, column)
            parts = [take(part, block, -1) for part, block in zip(results, (row, column))]

            def gradient() -> Any:
                return _tile_gradient(plan, params, fixed, tile_x, tile_y, shared, masks, parts)

            def nothing() -> Any:
                return vary_like(
                    jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype),
                                 jax.eval_shape(gradient)), operands, plan.axis_name
                )  # fmt: skip

            whole, of_x, of_y = _unless_empty(plan, masks, gradient, nothing)
            whole = jax.tree.map(lambda a, b: a + b.astype(a.dtype), carry[0], whole)
            return whole, _add(carry[1], of_x, row), _add(carry[2], of_y, column)

        carry = for_each_tile(x.size, y.size, plan.block, visit_tile, (*staying, y_gradient))
        return carry[:2], (y, columns, carry[2])

    columns = list(zip(found[1:], weights[1:]))
    staying = zeros((params, shared)), zeros((x.features, x.anchor))
    travelling = y, columns, zeros((y.features, y.anchor))
    (whole, of_x), (_, _, of_y) = round_the_ring(plan.axis_name, visit, staying, travelling)
    like = (params, shared), (x.features, x.anchor), (y.features, y.anchor)
    whole, of_x, of_y = jax.tree.map(
        lambda sum_, leaf: sum_.astype(leaf.dtype), (whole, of_x, of_y), like
    )
    sides = [Side(features, None, None, anchor) for features, anchor in (of_x, of_y)]
    return whole[0], None, *sides, whole[1]


def _tile_gradient(
    plan: Plan, params: Any, fixed: Any, x: Side, y: Side, shared: Any,
    masks: list[PairMasks], parts: list[tuple[Stats, Stats]],
) -> Any:  # fmt: skip
    """What one tile adds to the gradients: ((params, shared), (x, its anchor), (y, its anchor))."""

    def scores_of(params: Any, x_features: Any, y_features: Any) -> tuple[jax.Array, ...]:
        features = _join(x_features, x.fixed), _join(y_features, y.fixed)
        return tile_scores(plan.critic, _join(params, fixed), *features)

    scores, to_features = jax.vjp(scores_of, params, x.features, y.features)
    values, to_scores = jax.vjp(
        lambda *args: _values(plan, masks, *args), scores, [x.anchor, y.anchor], shared
    )
    cotangents = [
        {
            name: plan.kinds[name].pullback(
                each[name], found[name], weights[name], axis, candidates.words["index"]
            )
            for name in each
        }
        for each, (found, weights), axis, candidates in zip(values, parts, _AXES, (y, x))
    ]
    by_scores, (by_x_anchor, by_y_anchor), by_shared = to_scores(cotangents)
    by_params, by_x, by_y = to_features(by_scores)
    return (by_params, by_shared), (by_x, by_x_anchor), (by_y, by_y_anchor)


def _take(side: Side, block: Block) -> Side:
    features, fixed, words = take((side.features, side.fixed, side.words), block, 0)
    return Side(features, fixed, words, take(side.anchor, block, -1))


def _add(sums: Any, part: Any, block: Block) -> Any:
    """Adds to the gradients (of features, of their anchor)."""
    return add(sums[0], part[0], block, 0), add(sums[1], part[1], block, -1)


def _merge(plan: Plan, old: Any, new: Any) -> Any:
    return {name: kind.merge(old[name], new[name]) for name, kind in plan.kinds.items()}


def _masks(x: Side, y: Side, row: Block, column: Block) -> list[PairMasks]:
    """The masks of a tile, for each direction: they differ where ranks of positives count."""
    words = {}
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


def _values(
    plan: Plan,
    masks: list[PairMasks],
    scores: tuple[jax.Array, ...],
    anchors: list[Any],
    shared: Any,
) -> list[dict[str, jax.Array]]:
    """The values of each direction that has anchors."""
    return [
        dict(plan.tile(scores, mask, spread(anchor, axis), shared))
        for mask, anchor, axis in zip(masks, anchors, _AXES)
        if anchor is not None
    ]


def _unless_empty(
    plan: Plan, masks: list[PairMasks], visit: Callable[[], Any], nothing: Callable[[], Any]
) -> Any:
    """What `visit` returns, or `nothing` for a tile without the positives that the walk is after."""
    if not plan.only_positives:
        return visit()
    needed = jnp.any(masks[0].positive) | jnp.any(masks[1].positive)
    return jax.lax.cond(needed, visit, nothing)
