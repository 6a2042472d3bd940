"""Temporary memory of the losses on an H200, from compiling for one without having it.

Command: benchmarks/aot.sh

The machine needs no GPU, but NVIDIA's plugin for JAX, which that script installs. Features are
bfloat16. Block sizes are given: those that the library chooses on a GPU, while here it would choose
for the CPU that compiles. `h200_target_config.txtpb` describes the card; XLA publishes it.
"""

import argparse
import os
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))  # finds benchmarks.loss_costs from anywhere

import jax
import jax.numpy as jnp
from jax.experimental import topologies
from jax.sharding import Sharding, SingleDeviceSharding

from benchmarks.loss_costs.cases import CASES
from benchmarks.loss_costs.goals import Goal
from benchmarks.loss_costs.memory import GIB, temp_bytes
from benchmarks.loss_costs.report import Row, print_goals, print_rows, write_json

TARGET = Path(__file__).with_name("h200_target_config.txtpb")
# case, batch, block size, wanted GiB or None where it is only reported
COMPILED = [
    ("info_nce", 131072, 2048, 1.0),
    ("srcl", 131072, 2048, None),
    ("local", 4096, 64, 0.6),
    ("local_max", 4096, 64, 0.6),
    ("mlp", 4096, 128, 0.25),
    ("amdim", 4096, 2048, None),
]
ENVIRONMENT = {  # read when the plugin starts
    "JAX_SKIP_CUDA_CONSTRAINTS_CHECK": "1",  # the CUDA libraries are not installed
    # Without the card there is nothing to tune by, and Triton's products need tuning.
    "XLA_FLAGS": "--xla_gpu_autotune_level=0 --xla_gpu_enable_triton_gemm=false",
}


def main(arguments: list[str] | None = None) -> None:
    """Compiles, prints a table and writes the JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", type=Path, help="file for the figures")
    args = parser.parse_args(arguments)
    os.environ.update(ENVIRONMENT)
    jax.config.update("jax_platforms", "cpu")  # JAX_PLATFORMS is read when jax is imported
    rows: list[Row] = []
    goals: list[Goal] = []
    sharding = h200()
    for row, row_goals in measure(sharding):
        rows.append(row)
        goals += row_goals
    print_rows("compiled for an H200", rows)
    print_goals(goals)
    if args.json:
        write_json(args.json, {"compiled": rows}, goals, "NVIDIA H200, compiled for, not run")


def h200() -> Sharding:
    """One H200 to compile for.

    Raises:
      RuntimeError: NVIDIA's plugin for JAX is not installed.
    """
    topology = topologies.get_topology_desc(
        platform="cuda", target_config=TARGET.read_text(encoding="utf-8"), topology="1x1x1"
    )
    return SingleDeviceSharding(topology.devices[0])


def measure(sharding: Sharding) -> Iterator[tuple[Row, list[Goal]]]:
    """A row a case, with bfloat16 features."""
    for name, batch, block_size, wanted in COMPILED:
        shapes = jax.tree.map(
            lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding),
            CASES[name].shapes(batch, jnp.bfloat16),
        )
        streamed: Any = partial(CASES[name].streamed, block_size=block_size)
        found = temp_bytes(streamed, shapes)
        row = {"case": name, "batch": batch, "block_size": block_size, "streamed_bytes": found}
        what = f"{name} B={batch:,}: GiB"
        yield row, [Goal(what, found / GIB, "at most", wanted)] if wanted else []


if __name__ == "__main__":
    main()
