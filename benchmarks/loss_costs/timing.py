"""Seconds of value and gradient, every form in turn within one run."""

import gc
import importlib.util
import math
import os
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.loss_costs.cases import CASES, Case, value_and_gradient
from benchmarks.loss_costs.goals import Goal
from benchmarks.loss_costs.memory import temp_of
from benchmarks.loss_costs.report import Row

Form = Callable[[], Any]  # () -> (value, gradients), finished when it returns

ON_CPU = {
    "info_nce": (4096, 8192, 16384),
    "sigmoid": (4096, 8192),
    "srcl": (4096,),
    "local": (256, 512),
    "local_max": (256,),
    "mlp": (128, 256),
    "lmi": (64,),  # its pair loop is quartic: at 128 it takes minutes
    "amdim": (256, 512),
}
ON_ACCELERATOR = {
    "info_nce": (4096, 16384, 32768, 131072, 262144),
    "sigmoid": (32768,),
    "srcl": (32768,),
    "local": (1024, 4096),
    "local_max": (1024, 4096),
    "mlp": (1024, 4096),
    "amdim": (1024, 4096),
}
# other form: (streamed over it at most, stretch)
RATIOS = {
    "dense": (1.15, 1.0),
    "torch_eager": (1.3, 1.0),
    "torch_compile": (2.2, 1.5),
    "open_clip_chunked": (1.3, 1.0),
    "published_pair_loop": (1 / 25, None),
}
FLOOR_RATIO = 4  # of plain XLA, where the floor is long enough to be seen
SHORTEST_FLOOR_SECONDS = 1e-3


def measure_times(flop_per_second: float) -> Iterator[tuple[Row, list[Goal]]]:
    """One row a case and batch: CPU seconds on a CPU, seconds elsewhere, by form."""
    on_cpu = jax.default_backend() == "cpu"
    for name, batches in (ON_CPU if on_cpu else ON_ACCELERATOR).items():
        for batch in batches:
            dtype = jnp.float32 if on_cpu else jnp.bfloat16
            seconds = time_case(CASES[name], batch, dtype)
            ours, label = seconds["streamed"], f"{name} B={batch:,}"
            over = {other: ours / seconds[other] for other in RATIOS if other in seconds}
            row: Row = {"case": name, "batch": batch, "dtype": jnp.dtype(dtype).name}
            row |= {"s": seconds, "over": over}
            goals = [
                Goal(f"{label}: seconds over {other}", ratio, "at most", *RATIOS[other])
                for other, ratio in over.items()
            ]
            if not on_cpu:
                row["floor_seconds"] = floor = CASES[name].floor_seconds(batch, flop_per_second)
                if floor >= SHORTEST_FLOOR_SECONDS:
                    what = f"{label}: seconds over the floor"
                    goals.append(Goal(what, ours / floor, "at most", FLOOR_RATIO))
            yield row, goals
            jax.clear_caches()
            gc.collect()


def time_case(case: Case, batch: int, dtype: Any) -> dict[str, float]:
    """Best seconds of each form that is at hand and fits, after checking that they agree."""
    inputs = jax.block_until_ready(jax.jit(partial(case.inputs, batch, dtype))())
    forms = jax_forms(case, inputs)
    if importlib.util.find_spec("torch"):
        # Threads that wait by spinning would count as work, also of the form that runs next.
        os.environ.setdefault("OMP_WAIT_POLICY", "passive")
        from benchmarks.loss_costs import torch_forms  # noqa: PLC0415 - torch is optional

        forms |= torch_forms.make_forms(case.name, inputs)
    exact = dtype == jnp.float32
    check_agreement({name: form() for name, form in forms.items()}, 1e-3 if exact else 5e-2)
    clock = time.process_time if jax.default_backend() == "cpu" else time.perf_counter
    return best_seconds(forms, clock)


def jax_forms(case: Case, inputs: tuple[Any, Any, Any]) -> dict[str, Form]:
    """The streamed and the dense form, compiled; the dense one only where the device holds it."""
    forms: dict[str, Form] = {}
    for name in ("streamed", "dense"):
        function = jax.jit(value_and_gradient(getattr(case, name)))
        compiled = function.lower(*inputs).compile()
        if temp_of(compiled) < 0.4 * device_bytes():
            forms[name] = partial(_finished, compiled, inputs)
    return forms


def _finished(function: Callable[..., Any], inputs: tuple[Any, Any, Any]) -> Any:
    return jax.block_until_ready(function(*inputs))


def device_bytes() -> float:
    """Memory of the first device; of the machine for a CPU."""
    stats = jax.devices()[0].memory_stats()
    if stats and "bytes_limit" in stats:
        return float(stats["bytes_limit"])
    return float(os.sysconf("SC_PAGE_SIZE")) * os.sysconf("SC_PHYS_PAGES")


def best_seconds(
    forms: dict[str, Form], clock: Callable[[], float], *, budget_seconds: float = 12
) -> dict[str, float]:
    """Smallest seconds of each form; 2 to 7 rounds, as many as the budget holds.

    Each round runs all forms, every other one in reverse order, so that none always follows the
    same other one.
    """
    best = dict.fromkeys(forms, math.inf)
    rounds, done = 2, 0
    while done < rounds:
        for name in list(forms) if done % 2 else reversed(forms):
            start = clock()
            forms[name]()
            best[name] = min(best[name], clock() - start)
        done += 1
        if done == 1:
            rounds = min(max(int(budget_seconds / max(sum(best.values()), 1e-9)), 2), 7)
    return best


def check_agreement(results: dict[str, Any], tolerance: float) -> None:
    """Raises ValueError unless all forms gave one value and gradients of one length."""
    found = {
        name: np.array([_number(value), _length(gradients)])
        for name, (value, gradients) in results.items()
    }
    wanted = found["streamed"]
    for name, got in found.items():
        if not np.all(np.abs(got - wanted) <= tolerance * np.abs(wanted)):
            raise ValueError(
                f"{name}: got (value, length of gradient) {got}, wanted those of streamed, "
                f"{wanted}; the forms do not compute one loss, so their times say nothing"
            )


def _number(value: Any) -> float:
    return float(value.detach().cpu() if hasattr(value, "detach") else value)


def _length(gradients: Any) -> float:
    """Euclidean length of a tree of gradients, JAX's or torch's."""
    squares = 0.0
    for leaf in jax.tree.leaves(gradients):
        array = leaf.detach().float().cpu() if hasattr(leaf, "detach") else leaf
        squares += float(np.sum(np.square(np.asarray(array, np.float64))))
    return math.sqrt(squares)
