"""The device mesh, and how state and batches lie on it: state replicated, batches split."""

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from tvdim_jax.train.state import TrainState
from tvdim_jax.train.step import TrainStep


def make_mesh(devices: Sequence[jax.Device] | None = None) -> Mesh:
    """The devices (default: all of all processes) along one axis, "data"."""
    devices = jax.devices() if devices is None else devices
    return jax.make_mesh((len(devices),), ("data",), axis_types=(AxisType.Auto,), devices=devices)


def replicated(mesh: Mesh) -> NamedSharding:
    """Every device holds the whole array."""
    return NamedSharding(mesh, PartitionSpec())


def split_over_data(mesh: Mesh) -> NamedSharding:
    """The leading (batch) axis is split over the devices."""
    return NamedSharding(mesh, PartitionSpec("data"))


def check_divisible(batch_size: int, *, num_devices: int, num_processes: int) -> None:
    """Raises ValueError unless every device gets the same number of rows of a global batch."""
    if batch_size % num_devices:
        fitting = max(1, batch_size // num_devices) * num_devices
        raise ValueError(
            f"a global batch of {batch_size} does not divide by {num_devices} devices "
            f"({num_processes} processes); set --config.train.batch_size={fitting}, or another "
            f"multiple of {num_devices}"
        )


def whole_batch_size(batch_size: int, mesh: Mesh) -> int:
    """The batch size rounded up to a multiple of the devices of the mesh."""
    return -(-batch_size // mesh.size) * mesh.size


def global_batch(batch: Any, sharding: NamedSharding) -> Any:
    """This process's rows of a batch as part of the global arrays.

    Args:
      batch: tree of arrays `[B / num_processes, ...]` in host memory.
      sharding: from `split_over_data`.

    Returns:
      The tree of global arrays `[B, ...]`.
    """
    return jax.tree.map(
        lambda x: jax.make_array_from_process_local_data(sharding, np.asarray(x)), batch
    )


def compile_step(train_step: TrainStep, mesh: Mesh) -> TrainStep:
    """`train_step` jitted over the mesh; the state handed in is donated, so use the new one."""
    state, rows = replicated(mesh), split_over_data(mesh)
    return jax.jit(
        train_step, donate_argnums=0, in_shardings=(state, rows), out_shardings=(state, state)
    )


def place(state: TrainState, mesh: Mesh) -> TrainState:
    """The state, equal on all processes, on every device of the mesh."""
    # Compiled, because device_put does not reach the devices of other processes.
    return jax.jit(lambda tree: tree, out_shardings=replicated(mesh))(state)
