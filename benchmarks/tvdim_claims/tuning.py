"""The recipe of all arms, tuned on AMDIM and on InfoNCE and never on the ranking."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from benchmarks.studies.tables import Run

LEARNING_RATES = (5e-4, 1e-3, 2e-3, 4e-3)
TEMPERATURES = (0.07, 0.2)
SEED = 100  # of no arm of the study


class Recipe(NamedTuple):
    """What the tuning chooses: a learning rate for all arms, a temperature for all InfoNCE."""

    learning_rate: float
    temperature: float

    def fields(self) -> dict[str, float]:
        """Of the config."""
        return {
            "optimizer.learning_rate": self.learning_rate,
            "objective.temperature": self.temperature,
        }


def _amdim(rate: float) -> str:
    return f"amdim_rate{rate:g}"


def _info_nce(rate: float, temperature: float) -> str:
    return f"info_nce_rate{rate:g}_temperature{temperature:g}"


TUNING_ARMS: Mapping[str, Mapping[str, Any]] = {
    **{
        _amdim(rate): {"objective.name": "amdim", "optimizer.learning_rate": rate}
        for rate in LEARNING_RATES
    },
    **{
        _info_nce(rate, temperature): {
            "objective.pair_loss": "info_nce",
            **Recipe(rate, temperature).fields(),
        }
        for rate in LEARNING_RATES
        for temperature in TEMPERATURES
    },
}


def choose_recipe(records: Sequence[Run]) -> Recipe:
    """The learning rate with the best sum of both arms, and InfoNCE's best temperature there.

    Args:
      records: of all arms of the tuning.

    Raises:
      ValueError: some are not there.
    """
    scores = {record["arm"]: record["results"]["probe"]["value"] for record in records}
    if absent := sorted(TUNING_ARMS.keys() - scores):
        raise ValueError(
            f"the recipe is not tuned yet: got no records of {', '.join(absent)}; run with "
            "--captions DIR --only tuning first"
        )

    def best_temperature(rate: float) -> float:
        return max(TEMPERATURES, key=lambda each: scores[_info_nce(rate, each)])

    def total(rate: float) -> float:
        return scores[_amdim(rate)] + scores[_info_nce(rate, best_temperature(rate))]

    rate = max(LEARNING_RATES, key=total)
    return Recipe(rate, best_temperature(rate))
