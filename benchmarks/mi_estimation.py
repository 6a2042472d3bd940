"""Mutual information estimated with each of our bounds, against the truth.

Command: python benchmarks/mi_estimation.py --tasks DIR --json benchmarks/results/mi_estimation.json

DIR holds a NAME.npz for each task: x [rows, D_x], y [rows, D_y] and mutual_information_nats, the
truth. Every bound trains the same small critic from scratch, with one budget and one set of
constants for all tasks. A seed draws the split of the rows, the initial weights and the batches:
65 % of the rows train, 10 % stop the training, 25 % are held out. The estimate is the bound on the
held-out rows, each against all of them, by `tvdim_jax.losses.pairwise`; nothing else sees them.

Stopping: after each epoch the objective is taken on the stopping rows with the averaged weights.
The best ones are kept; the training ends when 6 epochs brought no better ones, or after 20.

Seconds are those of a run: inputs, training and estimate. Compiling is counted apart, in CPU
seconds; tasks of one size share a program.
"""

import argparse
import sys
import time
from pathlib import Path
from typing import Any

import jax
import numpy as np
from rich.console import Console

sys.path.insert(0, str(Path(__file__).parents[1]))  # finds benchmarks.mi_estimates from anywhere

from benchmarks.loss_costs.report import device_name
from benchmarks.mi_estimates.program import BOUNDS, compiled
from benchmarks.mi_estimates.report import print_tables, summary, write_json
from benchmarks.mi_estimates.tasks import Task, prepare, read_task

EXAMPLE = "example: python benchmarks/mi_estimation.py --tasks DIR --only student --seeds 1"


def main(arguments: list[str] | None = None) -> None:
    """Estimates, prints tables and writes the JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EXAMPLE, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tasks", type=Path, required=True, help="folder of the .npz files")
    parser.add_argument("--only", default="", help="words, by commas: tasks named with one of them")
    parser.add_argument("--bounds", default=",".join(BOUNDS), help="by commas; %(default)s")
    parser.add_argument("--seeds", type=int, default=3, help="runs a task and bound; %(default)s")
    parser.add_argument("--json", type=Path, help="file for the figures")
    args = parser.parse_args(arguments)
    bounds = args.bounds.split(",")
    if unknown := set(bounds) - set(BOUNDS):
        parser.error(f"--bounds: got {', '.join(unknown)}, wanted some of {', '.join(BOUNDS)}")
    if args.seeds < 1:
        parser.error(f"--seeds: got {args.seeds}, wanted at least 1")
    try:
        tasks = read_tasks(args.tasks, args.only.split(","))
    except ValueError as error:
        parser.error(f"--tasks: {error}")
    runs = estimate_all(tasks, bounds, args.seeds)
    totals = [summary(bound, [run for run in runs if run["bound"] == bound]) for bound in bounds]
    print_tables(runs, totals)
    if args.json:
        write_json(args.json, runs, totals, device_name())


def read_tasks(folder: Path, words: list[str]) -> list[Task]:
    """The tasks named with one of the words; ValueError where there are none, or a bad one."""
    paths = [path for path in sorted(folder.glob("*.npz")) if any(w in path.stem for w in words)]
    if not paths:
        named = f" named with {' or '.join(words)}" if any(words) else ""
        raise ValueError(f"got {folder}, wanted a folder that holds .npz files{named}")
    return [read_task(path) for path in paths]


def estimate_all(tasks: list[Task], bounds: list[str], num_seeds: int) -> list[dict[str, Any]]:
    """Every task with every bound and seed; a line each on stderr, with the time that is left."""
    console, start = Console(stderr=True, width=120, highlight=False), time.perf_counter()
    todo = [(task, bound, seed) for bound in bounds for task in tasks for seed in range(num_seeds)]
    runs: list[dict[str, Any]] = []
    for task, bound, seed in todo:
        runs.append(run := estimate(task, bound, seed))
        left = (time.perf_counter() - start) / len(runs) * (len(todo) - len(runs))
        console.print(
            f"{len(runs)}/{len(todo)} {bound} {task.name} seed {seed}: {run['estimate']:.3f} of "
            f"{task.truth:.3f} nats in {run['cpu_seconds']:.1f} s; {left / 60:.1f} min left"
        )
    return runs


def estimate(task: Task, bound: str, seed: int) -> dict[str, Any]:
    """One estimate, in nats, and what it cost."""
    start = _seconds()
    parts = prepare(task, seed)
    before = _seconds()
    program = compiled(bound, tuple((x.shape, y.shape) for x, y in parts))
    after = _seconds()
    value, num_epochs = jax.block_until_ready(program(jax.random.key(seed), parts))
    cpu, wall = _seconds() - after + before - start  # without compilation
    return {
        "task": task.name,
        "bound": bound,
        "seed": seed,
        "truth": task.truth,
        "estimate": float(value),
        "epochs": int(num_epochs),
        "cpu_seconds": cpu,
        "wall_seconds": wall,
        "compile_seconds": (after - before)[0],
    }


def _seconds() -> np.ndarray:
    """CPU seconds of all threads, and wall seconds."""
    return np.array([time.process_time(), time.perf_counter()])


if __name__ == "__main__":
    main()
