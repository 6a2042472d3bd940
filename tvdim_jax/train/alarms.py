"""Plain warnings from log rows: a loss that stays at chance, a bound at its ceiling."""

from collections.abc import Mapping

NUM_ROWS = 20  # log rows in a row before a warning
NEAR = 0.02  # of log N

_AT_CHANCE = (
    f"warning: the loss of images and texts has been within 2 % of log N, chance, for {NUM_ROWS} "
    "log rows: they are not told apart yet. Lower the learning rate or warm up longer, look "
    "whether captions belong to their images, and let `tvdim doctor --config FILE` try 128 pairs"
)
_SATURATED = (
    f"warning: the MI bound has been above 0.98 log N for {NUM_ROWS} log rows: it is saturated and "
    "cannot show more, whatever is learned. Raise train.batch_size for more negatives, and judge "
    "by `tvdim evaluate RUN --tasks mi,retrieval`"
)


class Alarms:
    """Reads one log row after the other and says each warning once.

    Both look at "train/loss_over_log_n", the InfoNCE loss of a critic's scores over its value when
    all scores are equal. Ranking objectives train other losses; while their cosines are far from
    calibrated it lies above 1 and says nothing.
    """

    def __init__(self) -> None:
        self._rows_of = {_AT_CHANCE: 0, _SATURATED: 0}  # until each is said

    def warnings(self, row: Mapping[str, float]) -> list[str]:
        """What is to be said after this row; nothing for an objective without such scores.

        Args:
          row: metrics by their full names.
        """
        share = row.get("train/loss_over_log_n")
        if share is None:
            return []
        found = []
        for text, holds in ((_AT_CHANCE, abs(share - 1) < NEAR), (_SATURATED, share < NEAR)):
            if text in self._rows_of:
                self._rows_of[text] = self._rows_of[text] + 1 if holds else 0
                if self._rows_of[text] == NUM_ROWS:
                    del self._rows_of[text]
                    found.append(text)
        return found
