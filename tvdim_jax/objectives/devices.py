"""Losses of a batch whose rows lie on the devices of a mesh."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
from jax.sharding import Mesh, PartitionSpec


def over_devices(loss: Callable[..., Any], mesh: Mesh | None, params: Any, rows: Any) -> Any:
    """`loss(params, rows, axis_name=...)` of all rows, each device holding its own and no other's.

    Args:
      loss: `loss(params, rows, *, axis_name) -> tree of scalars`, the same on every device of that
        axis, as the losses of `tvdim_jax.losses.pairwise` give them. It must not close over a
        traced value.
      mesh: of one axis, over which the leading axis of `rows` is split; None for no mesh.
      params: tree of arrays that every device holds.
      rows: tree of arrays `[B, ...]`; B divides by the devices of the mesh.

    Returns:
      What `loss` returns, of all B rows.
    """
    if mesh is None:
        return loss(params, rows, axis_name=None)
    (axis_name,) = mesh.axis_names
    on_device = partial(loss, axis_name=axis_name)
    everywhere, split = PartitionSpec(), PartitionSpec(axis_name)
    return jax.shard_map(on_device, mesh=mesh, in_specs=(everywhere, split), out_specs=everywhere)(
        params, rows
    )
