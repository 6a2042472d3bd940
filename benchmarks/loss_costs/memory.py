"""Temporary memory of compiled programs, which need not run: shapes in, bytes out."""

from collections.abc import Callable, Iterator
from typing import Any

import jax

from benchmarks.loss_costs.cases import CASES, Case, Loss, value_and_gradient
from benchmarks.loss_costs.goals import Goal
from benchmarks.loss_costs.report import Row

GIB = 2**30
LARGEST_BATCH = 2**19  # that is tried: far beyond what anyone waits for
# case, batch, wanted dense over streamed, or None where it is only reported
DENSE_OVER_STREAMED = [
    ("info_nce", 4096, None),
    ("info_nce", 16384, 64),
    ("sigmoid", 16384, None),
    ("srcl", 16384, None),
    ("ranking", 16384, 64),
    ("local", 512, 64),
    ("local_max", 512, None),
    ("mlp", 256, 32),
    ("amdim", 256, None),
    ("amdim", 4096, 8),
]
# case, batch, wanted GiB of the streamed form at most; the dense one would need hundreds
AT_MOST_GIB = [("lmi_local", 512, 2.0)]
DOUBLED = {
    "info_nce": (8192, 16384, 32768, 65536),
    "sigmoid": (8192, 16384),
    "srcl": (8192, 16384),
    "ranking": (8192, 16384),
    "local": (8192, 16384),
    "local_max": (8192, 16384),
    "mlp": (8192, 16384),
    "amdim": (8192, 16384),
}
# case: wanted batch in 1 GiB of temporary memory
IN_ONE_GIB = {"info_nce": 400_000, "local": 24_000, "mlp": 32_000}


def temp_bytes(loss: Loss, shapes: tuple[Any, Any, Any]) -> int:
    """Temporary bytes of value and gradient, compiled: their arguments and results not counted."""
    return temp_of(jax.jit(value_and_gradient(loss)).lower(*shapes).compile())


def temp_of(compiled: jax.stages.Compiled) -> int:
    """Temporary bytes of a compiled program; of each device if there are several."""
    analysis = compiled.memory_analysis()
    if analysis is None:
        raise RuntimeError(
            f"memory analysis: got none from {jax.default_backend()}, wanted the bytes of the "
            "program; measure with --only time there"
        )
    return int(analysis.temp_size_in_bytes)


def case_temp_bytes(case: Case, batch: int, form: str) -> int:
    """`temp_bytes` of a form, "dense" or "streamed", in float32."""
    return temp_bytes(getattr(case, form), case.shapes(batch))


def measure_memory() -> Iterator[tuple[Row, list[Goal]]]:
    """Rows of dense against streamed, of one streamed batch, then of doubled ones, with goals."""
    for name, batch, wanted in DENSE_OVER_STREAMED:
        dense, streamed = (case_temp_bytes(CASES[name], batch, f) for f in ("dense", "streamed"))
        row = {"case": name, "batch": batch, "dense_bytes": dense, "streamed_bytes": streamed}
        what = f"{name} B={batch:,}: temp of dense over streamed"
        yield row, [Goal(what, dense / streamed, "at least", wanted)] if wanted else []
    for name, batch, most in AT_MOST_GIB:
        streamed = case_temp_bytes(CASES[name], batch, "streamed")
        row = {"case": name, "batch": batch, "streamed_bytes": streamed}
        yield row, [Goal(f"{name} B={batch:,}: GiB", streamed / GIB, "at most", most)]
    for name, batches in DOUBLED.items():
        previous = 0
        for batch in batches:
            streamed = case_temp_bytes(CASES[name], batch, "streamed")
            what = f"{name} B={batch:,}: temp over that of half the batch"
            row = {"case": name, "batch": batch, "streamed_bytes": streamed}
            yield row, [Goal(what, streamed / previous, "at most", 2.1)] if previous else []
            previous = streamed


def measure_limits() -> Iterator[tuple[Row, list[Goal]]]:
    """Rows of the largest batch whose temporary memory fits 1 GiB."""
    for name, wanted in IN_ONE_GIB.items():
        row: Row = {"case": name}
        for form, start in (("dense", 128), ("streamed", 8192)):

            def fits(batch: int, form: str = form, case: Case = CASES[name]) -> bool:
                return case_temp_bytes(case, batch, form) <= GIB

            row[f"{form}_batch"] = batch = largest_batch(fits, start)
            row[f"{form}_bytes"] = case_temp_bytes(CASES[name], batch, form)
        yield row, [Goal(f"{name}: batch in 1 GiB", row["streamed_batch"], "at least", wanted)]


def largest_batch(fits: Callable[[int], bool], start: int) -> int:
    """A batch that fits, while one larger by a 32nd does not.

    Returns:
      0 if not even `start` fits, and `LARGEST_BATCH` if that does.
    """
    if not fits(start):
        return 0
    low, high = start, 2 * start
    while fits(high):
        if high >= LARGEST_BATCH:
            return high
        low, high = high, 2 * high
    step = max(low // 32, 1)
    while high - low > step:
        middle = low + max((high - low) // (2 * step), 1) * step
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low
