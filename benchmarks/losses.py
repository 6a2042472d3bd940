"""What value and gradient of the losses cost in seconds and memory, beside today's other forms.

Command: python benchmarks/losses.py --json benchmarks/results/losses.json

"streamed" is `tvdim_jax.losses.pairwise`; "dense" our loss on the matrix of all scores, jitted.
The PyTorch columns need `pip install torch` and a C++ compiler; without it they are left out. All
columns of a row ran in turn in this process and agreed in value and gradient. On a CPU, seconds are
user and system time of all threads, the best of several rounds; on a GPU or TPU they are wall time,
features are bfloat16, and the floor is that of four products at --tflops. Memory is the temporary
memory of the compiled program, which need not run: arguments and results are not in it.
"""

import argparse
import importlib.util
import os
import sys
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # finds benchmarks.loss_costs from anywhere

from benchmarks.loss_costs.goals import Goal
from benchmarks.loss_costs.memory import measure_limits, measure_memory
from benchmarks.loss_costs.report import Row, device_name, print_goals, print_rows, write_json
from benchmarks.loss_costs.rings import measure_rings
from benchmarks.loss_costs.timing import measure_times

Part = Callable[[], Iterable[tuple[Row, list[Goal]]]]

EXAMPLE = "example: python benchmarks/losses.py --only ring,limits"


def main(arguments: list[str] | None = None) -> None:
    """Measures, prints tables and writes the JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EXAMPLE, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--only", default="memory,limits,ring,time", help="parts, by commas; default: %(default)s"
    )
    parser.add_argument("--json", type=Path, help="file for the figures")
    parser.add_argument(
        "--tflops", type=float, default=790.0, help="of the device's bfloat16 products; %(default)s"
    )
    args = parser.parse_args(arguments)
    parts: dict[str, Part] = {
        "memory": measure_memory,
        "limits": measure_limits,
        "ring": measure_rings,
        "time": partial(measure_times, args.tflops * 1e12),
    }
    chosen = args.only.split(",")
    if unknown := set(chosen) - set(parts):
        parser.error(f"--only: got {', '.join(unknown)}, wanted some of {', '.join(parts)}")
    if "time" in chosen and not importlib.util.find_spec("torch"):
        print("No PyTorch here, so none of its columns: pip install torch")
    # On a GPU, JAX leaves room for PyTorch.
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    rows: dict[str, list[Row]] = {}
    goals: list[Goal] = []
    for part in chosen:
        rows[part] = []
        for row, row_goals in parts[part]():
            rows[part].append(row)
            goals += row_goals
        print_rows(part, rows[part])
    print_goals(goals)
    if args.json:
        write_json(args.json, rows, goals, device_name())


if __name__ == "__main__":
    main()
