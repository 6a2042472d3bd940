import json
import threading

import pytest

from tvdim_jax.data.bad_examples import BadExamples
from tvdim_jax.data.errors import BadDataError


def test_each_example_counts_once_and_reasons_are_sorted():
    ledger = BadExamples()
    for name, reason in (("a", "empty file"), ("b", "missing file"), ("c", "missing file")):
        ledger.record(name, reason)
        ledger.record(name, "no caption")
    assert ledger.num_bad == 3
    assert list(ledger.counts().items()) == [("missing file", 2), ("empty file", 1)]


def test_the_file_lists_each_example_once_over_several_starts(tmp_path):
    path = tmp_path / "bad_examples.jsonl"
    first = BadExamples(path)
    first.record("a", "empty file")
    first.flush()
    first.flush()
    with path.open("a") as file:
        file.write('{"example_id": "cut')  # as a kill in mid-write leaves it
    second = BadExamples(path)
    second.record("a", "empty file")
    second.record("b", "no caption")
    second.flush()
    lines = path.read_text().splitlines()
    assert [json.loads(lines[0]), json.loads(lines[2])] == [
        {"example_id": "a", "reason": "empty file"},
        {"example_id": "b", "reason": "no caption"},
    ]
    assert len(lines) == 3
    assert second.num_bad == 2


def test_stops_above_the_limit_with_the_table(tmp_path):
    path = tmp_path / "bad.jsonl"
    ledger = BadExamples(path)
    for number in range(21):
        ledger.record(str(number), "missing file" if number % 3 else "empty file")
    ledger.check(21, 0.01, 2_100)  # exactly at the limit
    with pytest.raises(BadDataError) as error:
        ledger.check(21, 0.01, 2_000)
    message = str(error.value)
    assert "got 21 bad examples in a set of 2000" in message
    assert "wanted at most 1.00%" in message
    assert message.splitlines()[1:] == ["  missing file  14", "  empty file    7"]
    assert len(path.read_text().splitlines()) == 21


def test_many_threads_lose_nothing():
    ledger = BadExamples()

    def work(offset: int) -> None:
        for number in range(200):
            ledger.record(str(number + offset), "empty file")

    threads = [threading.Thread(target=work, args=(100 * k,)) for k in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert ledger.num_bad == 900
