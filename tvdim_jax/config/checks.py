"""What each field of a config may be, and the error that says so."""

import math
import re
from collections.abc import Mapping
from typing import Any

from ml_collections import ConfigDict

from tvdim_jax.config.schema import (
    OBJECTIVES,
    PAIR_LOSSES,
    SCALES,
    SCHEDULES,
    SOURCES,
    TASKS,
    flat_fields,
)

_CHOICES = {
    "data.source": SOURCES,
    "objective.name": OBJECTIVES,
    "objective.pair_loss": PAIR_LOSSES,
    "objective.region_pool": ("max", "mean", "log_mean_exp"),
    "optimizer.schedule": SCHEDULES,
    "model.image_size": (32, 64, 128),
    "model.dtype": ("float32", "bfloat16"),
    "augment": ("cifar", "stl", "imagenet"),
}

# Every number must be above 0, or within these bounds.
_SHARES = ("data.validation_fraction", "data.noise_rate", "data.max_bad_fraction")
_BOUNDS = {
    **dict.fromkeys(_SHARES, (0, 1)),
    **dict.fromkeys(("seed", "data.noise_seed"), (0, 2**32 - 1)),
    **dict.fromkeys(("optimizer.b1", "optimizer.b2"), (0, 0.999999)),  # Adam divides by 1 - b^t
    "train.batch_size": (2, math.inf),  # a negative needs a second image
    "data.num_threads": (0, math.inf),
    "objective.text_weight": (0, math.inf),
    "optimizer.weight_decay": (0, math.inf),
    "optimizer.warmup_steps": (0, math.inf),
    "optimizer.clip_norm": (0, math.inf),
    "eval.every": (0, math.inf),
}


class ConfigError(ValueError):
    """A config that cannot be run; its text is one line: what, got, wanted, next step."""


def check(config: ConfigDict) -> None:
    """Checks ranges and choices.

    Raises:
      ConfigError: naming the field, the value got and what is wanted.
    """
    flat = flat_fields(config)
    for name, choices in _CHOICES.items():
        if flat[name] not in choices:
            raise ConfigError(f"config.{name} is {flat[name]!r}, wanted one of {list(choices)}")
    for name, value in flat.items():
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            _check_number(name, value)
    _check_forms(flat)
    if not config.objective.image_loss and not uses_text(config):
        raise ConfigError(
            "config.objective.image_loss=False needs objective.text_weight above 0: "
            "nothing is left to train on"
        )


def uses_text(config: ConfigDict) -> bool:
    """Whether the run has a text encoder: TVDIM with a text weight above 0."""
    return config.objective.name == "tvdim" and config.objective.text_weight > 0


def _check_number(name: str, value: float) -> None:
    low, high = _BOUNDS.get(name, (math.ulp(0.0), math.inf))
    if not low <= value <= high or value == math.inf:  # NaN is in no range
        wanted = f"at least {low}" if name in _BOUNDS else "above 0"
        limit = "" if high == math.inf else f" and at most {high}"
        raise ConfigError(f"config.{name} is {value!r}, wanted {wanted}{limit}")


def _check_forms(flat: Mapping[str, Any]) -> None:
    tasks, scales = flat["eval.tasks"], flat["objective.scales"]
    drops = flat["optimizer.step_boundaries"]
    increasing = all(type(d) is int and d > 0 for d in drops) and sorted({*drops}) == [*drops]
    negatives = re.fullmatch("all|hardest|[1-9][0-9]*", flat["objective.negatives"])
    for name, holds, wanted in (
        ("eval.tasks", all(t in TASKS for t in tasks), f"some of {TASKS}"),
        ("objective.scales", scales and all(s in SCALES for s in scales), f"some of {SCALES}"),
        ("optimizer.step_boundaries", increasing, "increasing update numbers"),
        ("objective.negatives", negatives, "'all', 'hardest' or a number"),
    ):
        if not holds:
            raise ConfigError(f"config.{name} is {flat[name]!r}, wanted {wanted}")
