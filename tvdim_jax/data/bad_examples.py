"""Ledger of the examples that a run skipped: counted by reason, listed once, limited in share."""

import json
import threading
from collections import Counter
from pathlib import Path

from tvdim_jax.data.errors import BadDataError

MIN_VISITS = 1000


class BadExamples:
    """Skipped examples of one run; safe to share between threads.

    Counts are of this start of the run. The file is of all its starts: a row
    {"example_id", "reason"} for each bad example, once.

    Args:
      path: bad_examples.jsonl of this process, appended to by `flush`; None keeps no file.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._lock = threading.Lock()
        self._path = path
        self._reasons: dict[str, str] = {}
        self._seen = 0
        text = path.read_text(encoding="utf-8") if path is not None and path.is_file() else ""
        self._listed = _ids(text)
        # A kill may have cut the last row: what comes next must not be glued to it.
        self._new: list[str] = ["\n"] if text and not text.endswith("\n") else []

    @property
    def num_bad(self) -> int:
        """Number of different bad examples."""
        return len(self._reasons)

    @property
    def bad_fraction(self) -> float:
        """Share of bad ones among the examples seen, as of the last `check`; 0 before it."""
        return self.num_bad / self._seen if self._seen else 0.0

    def record(self, example_id: str, reason: str) -> None:
        """Counts an example; the second time the same one is met changes nothing."""
        with self._lock:
            if example_id in self._reasons:
                return
            self._reasons[example_id] = reason
            if example_id not in self._listed:
                self._listed.add(example_id)
                self._new.append(json.dumps({"example_id": example_id, "reason": reason}) + "\n")

    def counts(self) -> dict[str, int]:
        """Number of different bad examples by reason, the most frequent first."""
        with self._lock:
            return dict(Counter(self._reasons.values()).most_common())

    def flush(self) -> None:
        """Appends what is new to the file."""
        with self._lock:
            new, self._new = self._new, []
        if new and self._path is not None:
            with self._path.open("a", encoding="utf-8") as file:
                file.write("".join(new))

    def check(self, visits: int, max_fraction: float, num_examples: int) -> None:
        """Stops a run that is fed bad data.

        Nothing happens before MIN_VISITS visits, or one pass over a smaller set: the first bad
        file of a sound set is no reason to stop.

        Args:
          visits: examples asked for so far by this process.
          max_fraction: the share of different bad examples that is borne, in [0, 1].
          num_examples: rows of the set; visits beyond one pass over it show nothing new.

        Raises:
          BadDataError: with the table of reasons; the file is written first.
        """
        self._seen = seen = min(visits, num_examples)
        if seen < MIN_VISITS and seen != num_examples:
            return
        if self.num_bad > max_fraction * seen:
            self.flush()
            listed = f", listed in {self._path}" if self._path else ""
            raise BadDataError(
                f"bad data: got {self.num_bad} bad examples of {seen} seen{listed}, wanted at most"
                f" {max_fraction:.2%}; mend them or raise data.max_bad_fraction\n{self._table()}"
            )

    def _table(self) -> str:
        counts = self.counts()
        width = max(map(len, counts), default=0)
        return "\n".join(f"  {reason:<{width}}  {count}" for reason, count in counts.items())


def _ids(text: str) -> set[str]:
    """Ids of the rows of a file; a row that was cut off has none."""
    ids = set()
    for line in text.splitlines():
        try:
            ids.add(json.loads(line)["example_id"])
        except (ValueError, LookupError, TypeError):
            continue
    return ids
