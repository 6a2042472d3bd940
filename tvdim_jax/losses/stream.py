"""All pairs as a stream of tiles: scores are made, reduced and forgotten.

The backward pass makes them again. What is kept grows with N + M. On a ring of devices each holds
its rows, and the candidates of the others come by one shard at a time, with all that their side
accumulates, until they are home again.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from tvdim_jax.losses.masks import PairMasks
from tvdim_jax.losses.one_tile import (
    Common,
    Plan,
    Side,
    reduce_tile,
    split,
    take_side,
    tile_gradient,
    tile_masks,
)
from tvdim_jax.losses.pairs import Stats
from tvdim_jax.losses.tiles import Block, add, for_each_tile, put, round_the_ring, take, vary_like

_Operands = tuple[Common, Side, Side]


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

    @jax.custom_vjp
    def run(operands: _Operands) -> list[Stats]:
        return _forward(plan, operands)

    def forward(operands: _Operands) -> tuple[list[Stats], Any]:
        found = run(operands)
        return found, (operands, found)

    def backward(saved: Any, cotangents: list[Stats]) -> tuple[Any]:
        operands, found = saved
        weights = [
            {name: plan.kinds[name].weight(cotangent) for name, cotangent in stats.items()}
            for stats in cotangents
        ]
        return (_backward(plan, operands, found, weights),)

    run.defvjp(forward, backward)
    operands = Common(*split(params), shared), x, y
    return run(vary_like(operands, operands, plan.axis_name))


def _forward(plan: Plan, operands: _Operands) -> list[Stats]:
    common, x, y = operands

    def empty(size: int) -> Any:
        like = jnp.zeros(size, plan.score_dtype)
        states = {name: kind.empty(like) for name, kind in plan.kinds.items()}
        return vary_like(states, operands, plan.axis_name)

    def visit(rows: Any, travelling: Any) -> tuple[Any, Any]:
        y, columns = travelling

        def visit_tile(row: Block, column: Block, states: list[Any]) -> list[Any]:
            tile_x, tile_y = take_side(x, row), take_side(y, column)
            masks = tile_masks(tile_x, tile_y, row, column)
            blocks = (row, column)[: len(states)]
            found = _unless_empty(
                plan,
                masks,
                lambda: reduce_tile(plan, common, tile_x, tile_y, masks),
                lambda: [empty(block.fresh.size) for block in blocks],
            )
            return [
                put(state, _merge(plan, take(state, block, -1), part), block, -1)
                for state, part, block in zip(states, found, blocks, strict=True)
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
    plan: Plan, operands: _Operands, found: list[Stats], weights: list[Stats]
) -> tuple[Any, ...]:
    """Gradients by the operands; None for what has none."""
    common, x, y = operands

    def zeros(tree: Any) -> Any:  # sums of many tiles, so float32 at least
        empty = jax.tree.map(
            lambda leaf: jnp.zeros(leaf.shape, jnp.promote_types(leaf.dtype, jnp.float32)), tree
        )
        return vary_like(empty, operands, plan.axis_name)

    def visit(staying: Any, travelling: Any) -> tuple[Any, Any]:
        y, columns, y_gradient = travelling
        results = [(found[0], weights[0]), *columns]

        def visit_tile(row: Block, column: Block, carry: Any) -> Any:
            tile = take_side(x, row), take_side(y, column)
            masks = tile_masks(*tile, row, column)
            blocks = (row, column)[: len(results)]
            parts = [take(part, block, -1) for part, block in zip(results, blocks, strict=True)]

            def gradient() -> Any:
                return tile_gradient(plan, common, tile, masks, parts)

            def nothing() -> Any:
                shapes = jax.eval_shape(gradient)
                empty = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)
                return vary_like(empty, operands, plan.axis_name)

            whole, of_x, of_y = _unless_empty(plan, masks, gradient, nothing)
            whole = jax.tree.map(lambda a, b: a + b.astype(a.dtype), carry[0], whole)
            return whole, _add(carry[1], of_x, row), _add(carry[2], of_y, column)

        carry = for_each_tile(x.size, y.size, plan.block, visit_tile, (*staying, y_gradient))
        return carry[:2], (y, columns, carry[2])

    columns = list(zip(found[1:], weights[1:], strict=True))
    staying = zeros((common.params, common.shared)), zeros((x.features, x.anchor))
    travelling = y, columns, zeros((y.features, y.anchor))
    (whole, of_x), (_, _, of_y) = round_the_ring(plan.axis_name, visit, staying, travelling)
    like = (common.params, common.shared), (x.features, x.anchor), (y.features, y.anchor)
    whole, of_x, of_y = jax.tree.map(
        lambda total, leaf: total.astype(leaf.dtype), (whole, of_x, of_y), like
    )
    none: Any = None
    sides = [Side(features, none, none, anchor) for features, anchor in (of_x, of_y)]
    return Common(whole[0], none, whole[1]), *sides


def _add(sums: Any, part: Any, block: Block) -> Any:
    """Adds to the gradients (of features, of their anchor)."""
    return add(sums[0], part[0], block, 0), add(sums[1], part[1], block, -1)


def _merge(plan: Plan, old: Any, new: Any) -> Any:
    return {name: kind.merge(old[name], new[name]) for name, kind in plan.kinds.items()}


def _unless_empty(
    plan: Plan, masks: list[PairMasks], visit: Callable[[], Any], nothing: Callable[[], Any]
) -> Any:
    """What `visit` returns, or `nothing` for a tile without the positives wanted."""
    if not plan.only_positives:
        return visit()
    needed = jnp.any(masks[0].positive) | jnp.any(masks[1].positive)
    return jax.lax.cond(needed, visit, nothing)
