"""What became of each array when outside weights were loaded."""

from collections.abc import Mapping
from typing import NamedTuple

_NAMES_SHOWN = 2


class LoadReport(NamedTuple):
    """The fate of every array of ours and of theirs; `str` of it is a few lines.

    Attributes:
      loaded: our name -> number of parameters taken from the file.
      new: our name -> why it keeps its initial values.
      unused: their name -> why it was left in the file.
      remarks: what else the user should know, one line each.
    """

    loaded: Mapping[str, int]
    new: Mapping[str, str]
    unused: Mapping[str, str]
    remarks: tuple[str, ...]

    def __str__(self) -> str:
        """One line for what was loaded, one for each reason and each remark."""
        total = sum(self.loaded.values())
        return "\n".join(
            [
                f"loaded {len(self.loaded)} arrays, {total:,} parameters",
                *_by_reason("new, as initialised", self.new),
                *_by_reason("left in the file", self.unused),
                *(f"remark: {remark}" for remark in self.remarks),
            ]
        )


def _by_reason(kind: str, reasons: Mapping[str, str]) -> list[str]:
    lines = []
    for reason in dict.fromkeys(reasons.values()):
        names = [name for name, why in reasons.items() if why == reason]
        shown = ", ".join(names[:_NAMES_SHOWN])
        rest = f" and {len(names) - _NAMES_SHOWN} more" if len(names) > _NAMES_SHOWN else ""
        lines.append(f"{kind} ({reason}): {shown}{rest}")
    return lines
