"""The order of a walk over all pairs: tile by tile on a device, shard by shard round a ring."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from tvdim_jax.precision import varying

AxisName = str | tuple[str, ...]
"""A mapped axis of devices, or several that count as one."""


class Block(NamedTuple):
    """A run of examples.

    Attributes:
      start: int32 scalar, the first.
      fresh: bool `[block]`, False for those that the block before had already: the last block ends
        with the last example, whatever the size, so that nothing is padded or copied.
    """

    start: jax.Array
    fresh: jax.Array


def for_each_tile(
    num_x: int, num_y: int, block: int, visit: Callable[[Block, Block, Any], Any], carry: Any
) -> Any:
    """`carry` after `visit(rows, columns, carry)` of every tile, row of tiles by row of tiles.

    Args:
      num_x: anchors, >= 1.
      num_y: candidates, >= 1.
      block: anchors and candidates of a tile, at most; blocks are made alike.
      visit: returns the new carry.
      carry: tree of arrays.
    """
    size_x, size_y = (-(-num // -(-num // block)) for num in (num_x, num_y))

    def row_of_tiles(i: jax.Array, carry: Any) -> Any:
        rows = _block(i, num_x, size_x)

        def step(j: jax.Array, carry: Any) -> Any:
            return visit(rows, _block(j, num_y, size_y), carry)

        return jax.lax.fori_loop(0, -(-num_y // size_y), step, carry)

    # Two loops, as the number of all tiles may pass the largest int32.
    return jax.lax.fori_loop(0, -(-num_x // size_x), row_of_tiles, carry)


def _block(i: jax.Array, num: int, size: int) -> Block:
    start = jnp.minimum(i * size, num - size)
    return Block(start, start + jnp.arange(size) >= i * size)


def take(tree: Any, block: Block, axis: int) -> Any:
    """The block of every leaf along an axis."""
    size = block.fresh.size
    return jax.tree.map(
        lambda leaf: jax.lax.dynamic_slice_in_dim(leaf, block.start, size, axis % leaf.ndim), tree
    )


def put(tree: Any, part: Any, block: Block, axis: int) -> Any:
    """The tree with the block of every leaf replaced by `part`."""
    return jax.tree.map(
        lambda leaf, new: jax.lax.dynamic_update_slice_in_dim(
            leaf, new, block.start, axis % leaf.ndim
        ),
        tree,
        part,
    )


def add(tree: Any, part: Any, block: Block, axis: int) -> Any:
    """The tree with `part` added to the block of every leaf."""
    old = take(tree, block, axis)
    return put(tree, jax.tree.map(lambda a, b: a + b.astype(a.dtype), old, part), block, axis)


def round_the_ring(
    axis_name: AxisName | None,
    visit: Callable[[Any, Any], tuple[Any, Any]],
    staying: Any,
    travelling: Any,
) -> tuple[Any, Any]:
    """Lets what travels visit every device of the axis once and come home.

    Args:
      axis_name: the mapped axis, or None for a device alone.
      visit: `visit(staying, travelling)` returns both anew; run once on each device for each shard.
      staying: what remains on its device.
      travelling: a shard and what it accumulates.
    """
    num_devices = 1 if axis_name is None else jax.lax.axis_size(axis_name)
    if num_devices == 1:
        return visit(staying, travelling)
    neighbours = [(device, (device - 1) % num_devices) for device in range(num_devices)]

    def step(_: jax.Array, carry: tuple[Any, Any]) -> tuple[Any, Any]:
        staying, travelling = visit(*carry)
        return staying, jax.lax.ppermute(travelling, axis_name, neighbours)

    return jax.lax.fori_loop(0, num_devices, step, (staying, travelling))


def vary_like(tree: Any, operands: Any, axis_name: AxisName | None) -> Any:
    """The tree, typed as different on each device over the axes that any operand varies over.

    Inside `jax.shard_map` the carry of a loop must have the type that it will have at the end.
    Outside, and where such types are not checked, nothing changes.
    """
    axes = set().union(*(varying(leaf) for leaf in jax.tree.leaves(operands)))
    if axis_name is not None:
        axes |= {axis_name} if isinstance(axis_name, str) else {*axis_name}

    def vary(leaf: Any) -> Any:
        missing = tuple(sorted(axes - varying(leaf)))
        return jax.lax.pcast(leaf, missing, to="varying") if missing else leaf

    return jax.tree.map(vary, tree)
