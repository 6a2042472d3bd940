"""Temporary memory of a device in a ring of eight, compiled for fake CPU devices."""

import multiprocessing
import re
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from benchmarks.loss_costs.cases import CASES, value_and_gradient
from benchmarks.loss_costs.goals import Goal
from benchmarks.loss_costs.memory import temp_of
from benchmarks.loss_costs.report import MIB, Row
from tvdim_jax.critics import dot

NUM_DEVICES = 8
AXIS = "data"
# case: batches of the whole ring
RINGS = {
    "info_nce": (8192, 32768, 131072),
    "sigmoid": (32768,),
    "srcl": (32768,),
    "local": (2048,),
    "local_max": (2048,),
    "mlp": (2048,),
    "amdim": (1024,),
}
COMPARED_BATCH = 32768  # of InfoNCE, against all-gather


def measure_rings() -> list[tuple[Row, list[Goal]]]:
    """Rows with goals, from a process of its own: the devices are fixed when JAX starts."""
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=spawn, initializer=_fake_devices) as pool:
        return pool.submit(_measure).result()


def _fake_devices() -> None:
    jax.config.update("jax_platforms", "cpu")
    jax.config.update("jax_num_cpu_devices", NUM_DEVICES)


def _measure() -> list[tuple[Row, list[Goal]]]:
    return list(ring_rows(RINGS))


def ring_rows(
    rings: dict[str, tuple[int, ...]],
) -> Iterator[tuple[Row, list[Goal]]]:
    """A row a case and batch: bytes of a device and the collectives of the program."""
    for name, batches in rings.items():
        case = CASES[name]
        for batch in batches:
            shapes = case.shapes(batch)
            compiled = compile_ring(partial(case.streamed, axis_name=AXIS), shapes)
            row: Row = {"case": name, "batch": batch, **collectives(compiled.as_text())}
            row["ring_bytes"] = ring = temp_of(compiled)
            label = f"{name} B={batch:,} on {NUM_DEVICES} devices"
            goals = [Goal(f"{label}: all-gathers", row["all_gathers"], "at most", 0)]
            if name == "info_nce":
                row["all_gather_bytes"] = temp_of(compile_ring(all_gather_info_nce, shapes))
            if (name, batch) == ("info_nce", COMPARED_BATCH):
                over = row["all_gather_bytes"] / ring
                goals += [
                    Goal(f"{label}: MiB a device", ring / MIB, "at most", 48),
                    Goal(f"{label}: temp of all-gather over the ring", over, "at least", 40),
                ]
            yield row, goals


def compile_ring(loss: Callable[..., jax.Array], shapes: tuple[Any, Any, Any]) -> Any:
    """Value and gradient of a loss inside `shard_map`, compiled for all devices.

    Args:
      loss: `(params, x, y) -> loss` of a device's shards, global and replicated.
      shapes: of the whole `(params, x, y)`; params are replicated.
    """
    mesh = jax.make_mesh((jax.device_count(),), (AXIS,), axis_types=(AxisType.Auto,))
    specs = (PartitionSpec(), PartitionSpec(AXIS), PartitionSpec(AXIS))
    placed = [
        jax.tree.map(
            lambda leaf, spec=spec: jax.ShapeDtypeStruct(
                leaf.shape, leaf.dtype, sharding=NamedSharding(mesh, spec)
            ),
            tree,
        )
        for tree, spec in zip(shapes, specs, strict=True)
    ]
    mapped = jax.shard_map(loss, mesh=mesh, in_specs=specs, out_specs=PartitionSpec())
    return jax.jit(value_and_gradient(mapped)).lower(*placed).compile()


def collectives(program: str) -> dict[str, int]:
    """How often a compiled program calls for other devices' arrays, by kind."""
    return {
        "all_gathers": len(re.findall(r"\ball-gather(?:-start)?\(", program)),
        "permutes": len(re.findall(r"\bcollective-permute(?:-start)?\(", program)),
    }


def all_gather_info_nce(params: Any, x: jax.Array, y: jax.Array) -> jax.Array:
    """InfoNCE of products as open_clip's local loss: each device's rows against all candidates."""
    del params

    def direction(anchors: jax.Array, candidates: jax.Array) -> jax.Array:
        everyone = jax.lax.all_gather(candidates, AXIS, tiled=True)
        log_probability = jax.nn.log_softmax(dot((), anchors, everyone))
        own = jax.lax.axis_index(AXIS) * anchors.shape[0] + jnp.arange(anchors.shape[0])
        return -jnp.mean(jnp.take_along_axis(log_probability, own[:, None], axis=1))

    return jax.lax.pmean((direction(x, y) + direction(y, x)) / 2, AXIS)
