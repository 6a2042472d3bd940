"""What each field of a config may be, and the error that says so."""

import math
import re
from collections.abc import Mapping, Sequence
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
    "objective.norm": ("ratio", "softmax", "power"),
    "optimizer.schedule": SCHEDULES,
    "model.dtype": ("float32", "bfloat16"),
    "augment": ("cifar", "stl", "imagenet", "xray"),
    "model.critic": ("mlp", "bilinear", "dot"),
    "objective.estimator": ("dv", "info_nce", "jsd", "smile", "released_infonce"),
    "objective.negative_regions": ("own", "positive", "all"),
    "objective.sentence_mean": ("flat", "report"),
    "eval.uncertain": ("masked", "positive", "negative"),
    "eval.unmentioned": ("masked", "negative"),
}

# Every number must be above 0, or within these bounds.
_SHARES = (
    *("data.validation_fraction", "data.noise_rate", "data.max_bad_fraction"),
    "optimizer.text_warmup_fraction",
)
_BOUNDS = {
    **dict.fromkeys(_SHARES, (0, 1)),
    **dict.fromkeys(("seed", "data.noise_seed"), (0, 2**32 - 1)),
    **dict.fromkeys(("optimizer.b1", "optimizer.b2"), (0, 0.999999)),  # Adam divides by 1 - b^t
    "train.batch_size": (2, math.inf),  # a negative needs a second image
    "data.num_threads": (0, math.inf),
    **dict.fromkeys(
        ("objective.text_weight", "objective.local_weight", "objective.global_weight"),
        (0, math.inf),
    ),
    **dict.fromkeys(("optimizer.weight_decay", "optimizer.text_weight_decay"), (0, math.inf)),
    "optimizer.text_learning_rate": (0, math.inf),
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
    if config.data.grey != (config.augment == "xray"):
        raise ConfigError(
            f"config.data.grey={config.data.grey} does not go with config.augment="
            f"{config.augment!r}: grey images need 'xray', RGB images one of the others"
        )
    if not config.objective.image_loss and not uses_text(config):
        raise ConfigError(
            "config.objective.image_loss=False needs objective.text_weight above 0: "
            "nothing is left to train on"
        )


def uses_text(config: ConfigDict) -> bool:
    """Whether the run has a text encoder: LMI, and TVDIM with a text weight above 0."""
    if uses_sentences(config):
        return True
    return config.objective.name == "tvdim" and config.objective.text_weight > 0


def uses_sentences(config: ConfigDict) -> bool:
    """Whether the run reads each text as sentences: LMI."""
    return config.objective.name == "lmi"


def _check_number(name: str, value: float) -> None:
    low, high = _BOUNDS.get(name, (math.ulp(0.0), math.inf))
    if not low <= value <= high or value == math.inf:  # NaN is in no range
        wanted = f"at least {low}" if name in _BOUNDS else "above 0"
        limit = "" if high == math.inf else f" and at most {high}"
        raise ConfigError(f"config.{name} is {value!r}, wanted {wanted}{limit}")


def _check_forms(flat: Mapping[str, Any]) -> None:
    tasks, scales = flat["eval.tasks"], flat["objective.scales"]
    drops = flat["optimizer.step_boundaries"]
    negatives = re.fullmatch("all|hardest|[1-9][0-9]*", flat["objective.negatives"])
    for name, holds, wanted in (
        ("eval.tasks", all(t in TASKS for t in tasks), f"some of {TASKS}"),
        ("objective.scales", scales and all(s in SCALES for s in scales), f"some of {SCALES}"),
        ("optimizer.step_boundaries", _increasing(drops), "increasing update numbers"),
        ("data.token_buckets", _increasing(flat["data.token_buckets"]), "increasing lengths"),
        ("model.critic_hidden", _widths(flat["model.critic_hidden"]), "widths of at least 1"),
        ("objective.negatives", negatives, "'all', 'hardest' or a number"),
    ):
        if not holds:
            raise ConfigError(f"config.{name} is {flat[name]!r}, wanted {wanted}")


def _widths(values: Sequence[Any]) -> bool:
    return all(type(value) is int and value > 0 for value in values) and len(values) > 0


def _increasing(values: Sequence[Any]) -> bool:
    return all(type(v) is int and v > 0 for v in values) and sorted({*values}) == [*values]
