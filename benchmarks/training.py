"""Speed of one training update and of the data behind it.

Command: python benchmarks/training.py --json benchmarks/results/training.json

C1 to C3 are sizes for which the CPU seconds of the AMDIM release's step were measured (PyTorch
2.13, one thread of a 2.5 GHz Xeon with AVX-512). They stand beside ours for orientation: they come
from another run, and that step also trains two small classifiers. The views are given on both
sides.
"""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from rich.console import Console
from rich.table import Table

from tvdim_jax.config import load
from tvdim_jax.data.bad_examples import BadExamples
from tvdim_jax.data.pipeline import TrainStream
from tvdim_jax.data.task_streams import JoinedStream
from tvdim_jax.experiment.data import make_splits, open_stream
from tvdim_jax.experiment.model import make_model
from tvdim_jax.experiment.objective import batch_shapes, make_loss_fn, make_objective
from tvdim_jax.experiment.start import init_state, optimizer_of
from tvdim_jax.experiment.vocabulary import make_tokenizer
from tvdim_jax.train.step import LossFn, make_train_step

DEMO = str(Path(__file__).parents[1] / "configs" / "demo.py")
# name: image encoder, pixels, batch, CPU seconds of the release's step on one 2.5 GHz core
AMDIM = {
    "C1": ("amdim_cpu_small", 32, 32, 0.57),
    "C2": ("amdim_cpu_medium", 32, 64, 2.43),
    "C3": ("amdim_cpu_wide", 64, 32, 1.64),
}


def main() -> None:
    """Measures, prints a table and writes the JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=5, help="measured updates, after 3 others")
    parser.add_argument("--json", type=Path, help="file for the figures")
    args = parser.parse_args()
    table = Table("what", "batch", "CPU s", "wall s", "examples/s", "release CPU s", "release/ours")
    rows = []
    for row in measurements(args.steps):
        rows.append(row)
        release = row["release_cpu_seconds"]
        table.add_row(
            row["what"],
            str(row["batch_size"]),
            f"{row['cpu_seconds']:.3f}",
            f"{row['wall_seconds']:.3f}",
            f"{row['batch_size'] / row['wall_seconds']:,.0f}",
            f"{release:.2f}" if release else "-",
            f"{release / row['cpu_seconds']:.2f}" if release else "-",
        )
    Console(width=100).print(table)
    if args.json:
        device = jax.devices()[0].device_kind
        args.json.parent.mkdir(parents=True, exist_ok=True)
        record = {"device": device, "jax": jax.__version__, "rows": rows}
        args.json.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")


def measurements(num_steps: int) -> Iterator[dict[str, Any]]:
    """One row per thing measured: medians over `num_steps`, 3 more before them for warmth."""
    for name, (encoder, pixels, batch_size, release) in AMDIM.items():
        words = {
            "objective.name": "amdim",
            "model.image": encoder,
            "model.image_size": pixels,
            "data.image_size": pixels,
            "train.batch_size": batch_size,
        }
        update = amdim_update([f"--config.{field}={value}" for field, value in words.items()])
        timing = measure(update, num_steps)
        what = f"AMDIM update {name}, views given"
        yield {"what": what, "batch_size": batch_size, "release_cpu_seconds": release, **timing}
    timing = measure(demo_update(), num_steps)
    row = {"batch_size": 64, "release_cpu_seconds": None}
    yield {"what": "demo update, augmentation included", **row, **timing}
    with tempfile.TemporaryDirectory() as folder, closing(demo_stream(Path(folder))) as stream:
        timing = measure(lambda: next(stream), 10 * num_steps)
    yield {"what": "demo data alone", **row, **timing}


def amdim_update(overrides: list[str]) -> Callable[[], Any]:
    """One AMDIM update on two random views, as the release's step was timed."""
    config = load(DEMO, overrides)
    model = make_model(config, vocab_size=0)
    objective = make_objective(config)

    def loss_fn(params: Any, variables: Any, batch: Any, *, key: jax.Array, step: Any) -> Any:
        return objective(params, variables, batch, apply=model, key=key, step=step)

    size = config.model.image_size
    shape = (2, config.train.batch_size, size, size, 3)
    batch = {"views": tuple(jax.random.normal(jax.random.key(0), shape))}
    return _update(config, model, loss_fn, batch)


def demo_update() -> Callable[[], Any]:
    """One TVDIM update of the demo."""
    config = load(DEMO)
    model = make_model(config, config.tokenizer.vocab_size)
    batch = {
        name: jnp.ones(shape.shape, shape.dtype) for name, shape in batch_shapes(config).items()
    }
    return _update(config, model, make_loss_fn(config, model), batch)


def demo_stream(folder: Path) -> TrainStream | JoinedStream:
    """The training batches of the demo, read by its threads; the tokenizer lies in `folder`."""
    config = load(DEMO)
    source = make_splits(config).train
    tokenizer = make_tokenizer(config, source, folder)
    return open_stream(config, source, tokenizer, BadExamples(), start_step=0)


def _update(config: Any, model: Any, loss_fn: LossFn, batch: Any) -> Callable[[], Any]:
    tx = optimizer_of(config)
    step = jax.jit(make_train_step(loss_fn, tx), donate_argnums=0)
    state = init_state(config, model, tx)

    def update() -> Any:
        nonlocal state
        state, metrics = step(state, batch)
        return jax.block_until_ready(metrics)

    return update


def measure(run: Callable[[], Any], num_steps: int) -> dict[str, float]:
    """Median CPU and wall seconds of a call; CPU seconds count all threads."""
    for _ in range(3):
        run()
    cpu, wall = [], []
    for _ in range(num_steps):
        cpu_start, wall_start = time.process_time(), time.perf_counter()
        run()
        cpu.append(time.process_time() - cpu_start)
        wall.append(time.perf_counter() - wall_start)
    return {"cpu_seconds": statistics.median(cpu), "wall_seconds": statistics.median(wall)}


if __name__ == "__main__":
    main()
