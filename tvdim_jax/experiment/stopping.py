"""Being told to stop: SIGTERM and SIGINT end a run between two updates."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import jax


@contextmanager
def stop_on_signal() -> Iterator[Callable[[], bool]]:
    """Inside, SIGTERM and SIGINT only set what the yielded function tells: save and stop.

    A second SIGINT (Ctrl-C) is a KeyboardInterrupt, as ever. With several processes jax has its own
    handler, and they agree on the step at which to stop.
    """
    told: list[int] = []
    if jax.process_count() > 1:
        yield lambda: False
        return

    def note(number: int, _: object) -> None:
        told.append(number)
        if number == signal.SIGINT:
            signal.signal(number, old[number])

    stops = (signal.SIGTERM, signal.SIGINT)
    old: dict[int, Any] = {number: signal.signal(number, note) for number in stops}
    try:
        yield lambda: bool(told)
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)
