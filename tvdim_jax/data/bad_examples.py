"""Ledger of the examples that a run skipped: counted by reason, listed once, limited in share."""

import json
import threading
from collections import Counter
from pathlib import Path

from tvdim_jax.data.errors import BadDataError


class BadExamples:
    """Skipped examples of one run; safe to share between threads.

    A run that was stopped and goes on finds what it listed before, so the counts are of all its
    starts.

    Args:
      path: bad_examples.jsonl of this process, a row {"example_id", "reason"} for each bad example,
        appended to by `flush`; None keeps no file.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._lock = threading.Lock()
        self._path = path
        text = path.read_text(encoding="utf-8") if path is not None and path.is_file() else ""
        self._reasons = _listed(text)
        # A kill may have cut the last row: what comes next must not be glued to it.
        self._new: list[str] = ["\n"] if text and not text.endswith("\n") else []

    @property
    def num_bad(self) -> int:
        """Number of different bad examples."""
        return len(self._reasons)

    def record(self, example_id: str, reason: str) -> None:
        """Counts an example; the second time the same one is met changes nothing."""
        with self._lock:
            if example_id in self._reasons:
                return
            self._reasons[example_id] = reason
            self._new.append(json.dumps({"example_id": example_id, "reason": reason}) + "\n")

    def counts(self) -> dict[str, int]:
        """Number of different bad examples by reason, the most frequent first."""
        with self._lock:
            return dict(Counter(self._reasons.values()).most_common())

    def close(self) -> None:
        """The same as `flush`."""
        self.flush()

    def flush(self) -> None:
        """Appends what is new to the file."""
        with self._lock:
            new, self._new = self._new, []
        if new and self._path is not None:
            with self._path.open("a", encoding="utf-8") as file:
                file.write("".join(new))

    def check(self, num_bad: int, max_fraction: float, num_examples: int) -> None:
        """Stops a run that is fed bad data.

        Args:
          num_bad: different bad examples met so far, those of all processes together.
          max_fraction: the share of bad rows that is borne, in [0, 1].
          num_examples: rows of the set.

        Raises:
          BadDataError: with the reasons that this process met; the file is written first.
        """
        if num_bad <= max_fraction * num_examples:
            return
        self.flush()
        listed = f", listed in {self._path}" if self._path else ""
        raise BadDataError(
            f"bad data: got {num_bad} bad examples in a set of {num_examples}{listed}, wanted at "
            f"most {max_fraction:.2%}; mend them or raise data.max_bad_fraction\n{self._table()}"
        )

    def _table(self) -> str:
        counts = self.counts()
        width = max(map(len, counts), default=0)
        return "\n".join(f"  {reason:<{width}}  {count}" for reason, count in counts.items())


def _listed(text: str) -> dict[str, str]:
    """Reason by example; a last line that a kill cut off is no example."""
    reasons = {}
    for line in text.splitlines():
        try:
            row = json.loads(line)
            reasons[row["example_id"]] = row["reason"]
        except (ValueError, LookupError, TypeError):
            continue
    return reasons
