"""Lines of progress with the time left, and how often a log file gets one."""

import time
from collections.abc import Callable
from datetime import timedelta

Report = Callable[[str], None]


def make_counter(report: Report, total: int, unit: str) -> Callable[[int], None]:
    """Reports work of a known size; its clock starts now.

    Args:
      report: gets a line each time.
      total: how many there are.
      unit: what they are, such as "images".

    Returns:
      count(done): so many are done, one at least.
    """
    start = time.perf_counter()

    def count(done: int) -> None:
        rate = done / max(time.perf_counter() - start, 1e-9)
        left = timedelta(seconds=int((total - done) / rate))
        report(f"{done:,} of {total:,} {unit}  {rate:,.0f} {unit}/s  eta {left}")

    return count


def now_and_then(report: Report, seconds: float) -> Report:
    """Passes on a line only where `seconds` have gone by since the last one, or since now."""
    last = time.perf_counter()

    def pass_on(line: str) -> None:
        nonlocal last
        if time.perf_counter() - last >= seconds:
            last = time.perf_counter()
            report(line)

    return pass_on
