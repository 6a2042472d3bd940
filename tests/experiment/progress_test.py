"""Progress by a clock that the test sets."""

import pytest

from tvdim_jax.experiment import progress
from tvdim_jax.experiment.progress import make_counter, now_and_then


@pytest.fixture
def clock(monkeypatch):
    """A list whose only entry is the time in seconds."""
    now = [100.0]
    monkeypatch.setattr(progress.time, "perf_counter", lambda: now[0])
    return now


def test_a_line_says_how_many_how_fast_and_how_long(clock):
    lines = []
    count = make_counter(lines.append, 4000, "images")
    clock[0] += 10
    count(1000)
    clock[0] += 30
    count(4000)
    assert lines == [
        "1,000 of 4,000 images  100 images/s  eta 0:00:30",
        "4,000 of 4,000 images  100 images/s  eta 0:00:00",
    ]


def test_a_log_file_gets_a_line_now_and_then(clock):
    lines = []
    report = now_and_then(lines.append, 30)
    for second in range(100):
        clock[0] = 100.0 + second
        report(str(second))
    assert lines == ["30", "60", "90"]
