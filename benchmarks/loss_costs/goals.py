"""A goal: a measured number, its limit, and whether it was met."""

from typing import Any, Literal, NamedTuple


class Goal(NamedTuple):
    """One goal.

    Attributes:
      what: what was measured.
      got: the number.
      sense: "at most" or "at least".
      wanted: the limit.
      stretch: a harder limit, or None.
    """

    what: str
    got: float
    sense: Literal["at most", "at least"]
    wanted: float
    stretch: float | None = None

    @property
    def met(self) -> bool:
        """Whether the limit holds."""
        return self._holds(self.wanted)

    def record(self) -> dict[str, Any]:
        """The goal for a JSON file; "stretch_met" is None where there is no stretch."""
        stretch_met = None if self.stretch is None else self._holds(self.stretch)
        return {**self._asdict(), "met": self.met, "stretch_met": stretch_met}

    def _holds(self, limit: float) -> bool:
        return self.got <= limit if self.sense == "at most" else self.got >= limit
