"""The whole schema of a run: every field, its default, unit and check, in one place.

A file in configs/ calls `default()`, changes a few fields and returns the result from
`get_config()`. Quantities are global: the batch size is that of all devices together.
"""

import difflib
import json
import math
import re
import runpy
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from absl import flags
from ml_collections import ConfigDict, config_flags

PAIR_LOSSES = ("ranking", "info_nce")
OBJECTIVES = ("tvdim", "amdim")
SOURCES = ("scenes", "captions", "coco")
TASKS = ("linear_probe", "knn", "retrieval")
SCHEDULES = ("constant", "cosine", "step")
SCALES = (1, 5, 7)

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


def default() -> ConfigDict:
    """The schema with its defaults: TVDIM on the embedded scenes."""
    fields = {
        "seed": 0,  # root of all randomness of training; the data order has it too
        "workdir": "",  # run folder; "" is runs/<name of the config file>
        "data": {
            "source": "scenes",  # one of SOURCES
            "path": "",  # folder of captions.jsonl, or the TFDS data_dir of coco
            "num_examples": 20_000,  # images of the training split; scenes only
            "validation_fraction": 0.1,  # share split off by image hash; captions only
            "image_size": 32,  # pixels: stored square side, before augmentation
            "noise_rate": 0.0,  # share of training rows whose captions are swapped, 0 to 1
            "noise_seed": 0,  # draws which rows are swapped
            "max_bad_fraction": 0.01,  # stop above this share of unreadable examples, 0 to 1
            "num_threads": 8,  # reader threads of each process
        },
        "tokenizer": {
            "vocab_path": "",  # a WordPiece vocab.txt; "" trains one on the captions
            "vocab_size": 8_000,  # word pieces, when trained
            "num_train_captions": 100_000,  # captions that the training reads
            "lower_case": True,
            "add_sep": True,  # end each text with [SEP]
            "max_length": 32,  # word pieces of a text, [CLS] and [SEP] counted
        },
        "model": {
            "image": "amdim_tiny",  # a name in models/variants.py
            "image_size": 32,  # pixels the encoder sees: 32, 64 or 128
            "text": "text_tiny",  # a name in models/variants.py
            "dtype": "float32",  # compute type: float32 or bfloat16; parameters stay float32
        },
        "augment": "cifar",  # preset of augment.py: cifar, stl or imagenet
        "objective": {
            "name": "tvdim",  # one of OBJECTIVES
            "pair_loss": "ranking",  # one of PAIR_LOSSES
            "text_weight": 1.0,  # lambda of TVDIM; 0 builds no text encoder and is AMDIM
            "image_loss": True,  # False trains on text alone
            "margin": 0.2,  # of the ranking loss, in cosine
            "negatives": "all",  # of the ranking loss: all, hardest or a number
            "temperature": 0.07,  # of info_nce
            "scales": SCALES,  # heights of the image maps that text is ranked against
            "region_pool": "max",  # over the locations of a map: max, mean, log_mean_exp
            "clip": 20.0,  # soft clip of AMDIM's scores
        },
        "optimizer": {
            "learning_rate": 2e-4,
            "b1": 0.8,
            "b2": 0.999,
            "eps": 1e-8,
            "weight_decay": 1e-5,  # L2 added to the gradient, as the AMDIM release does
            "warmup_steps": 500,
            "schedule": "constant",  # after the warm-up, one of SCHEDULES
            "step_boundaries": (),  # updates after which the step schedule drops
            "step_factor": 0.2,  # each drop of the step schedule
            "clip_norm": 0.0,  # global gradient norm; 0 does not clip
        },
        "train": {
            "batch_size": 64,  # images of one update, over all devices
            "num_steps": 1_000,  # updates
            "log_every": 20,  # updates between rows of metrics.jsonl
            "checkpoint_every": 500,  # updates between checkpoints
            "keep_checkpoints": 2,
            "max_nonfinite_steps": 10,  # skipped updates in a row before the run stops
        },
        "eval": {
            "tasks": TASKS,  # run after the last update
            "every": 0,  # updates between evaluations in training; 0 evaluates at the end
            "batch_size": 250,  # images of one forward pass
            "num_train_examples": 2_000,  # at most; fit the probe and fill the kNN index
            "num_test_examples": 1_000,  # at most; scored
        },
    }
    return ConfigDict(fields)


def load(path: str, overrides: Sequence[str] = ()) -> ConfigDict:
    """Reads a config file, applies `--config.field=value` overrides and checks the result.

    Args:
      path: a Python file with `get_config()`; it is run.
      overrides: command-line words, such as `--config.train.num_steps=100`.

    Returns:
      The locked config, its `workdir` filled in.

    Raises:
      ConfigError: one line, for a missing or broken file, an unknown field, a wrong value.
    """
    if not Path(path).is_file():
        raise ConfigError(f"no config file at {path!r}; the shipped ones are in configs/")
    for word in overrides:
        _check_override(word)
    argv = ["tvdim", *overrides]
    flag_values = flags.FlagValues()
    config_flags.DEFINE_config_dict(
        "config", _from_flat(_run_file(path)), flag_values=flag_values, sys_argv=argv
    )
    try:
        flag_values(argv)
    except (flags.Error, TypeError, ValueError) as error:
        raise ConfigError(_one_line(error)) from error
    config = flag_values.config
    config.workdir = config.workdir or f"runs/{Path(path).stem}"
    check(config)
    return config


def from_json(text: str) -> ConfigDict:
    """Rebuilds the config of a run from its `config.json`; it is data, nothing in it is run.

    Args:
      text: JSON of `config.to_dict()`; a field that it lacks has its default.

    Raises:
      ConfigError: for a field this version does not know, a wrong type or value.
    """
    try:
        flat = flat_fields(json.loads(text))
    except (AttributeError, json.JSONDecodeError) as error:
        raise ConfigError(f"config.json is not a JSON object: {_one_line(error)}") from error
    config = _from_flat(flat)
    check(config)
    return config.lock()


def flat_fields(fields: Mapping[str, Any] | ConfigDict, prefix: str = "") -> dict[str, Any]:
    """The values by their full names, such as "train.num_steps"."""
    flat = {}
    for key, value in fields.items():
        if isinstance(value, (dict, ConfigDict)):
            flat.update(flat_fields(value, f"{prefix}{key}."))
        else:
            flat[f"{prefix}{key}"] = value
    return flat


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


def _run_file(path: str) -> dict[str, Any]:
    """The fields that `get_config()` of a config file returns, flat."""
    try:
        return flat_fields(runpy.run_path(path)["get_config"]())
    except Exception as error:
        raise ConfigError(
            f"config file {path} failed: {type(error).__name__}: {_one_line(error)}; it needs a "
            "get_config() that returns a changed tvdim_jax.config.default()"
        ) from error


def _from_flat(flat: Mapping[str, Any]) -> ConfigDict:
    """The defaults with the given fields changed, each of the type of its default."""
    config = default()
    known = flat_fields(config)
    for name in flat:
        _check_known(name, known)
    config.update_from_flattened_dict(
        {name: _typed(name, value, known[name]) for name, value in flat.items()}
    )
    return config


def _typed(name: str, value: Any, like: Any) -> Any:
    """`value` in the type of the default `like`; ConfigDict itself lets None and bool pass."""
    converts = ((float, int), (tuple, list))  # JSON has no tuples
    if type(value) is type(like) or (type(like), type(value)) in converts:
        return type(like)(value)
    raise ConfigError(f"config.{name} is {value!r}, wanted {type(like).__name__}")


def _check_override(word: str) -> None:
    name = word.split("=", 1)[0]
    if not name.startswith("--config.") or "=" not in word:
        raise ConfigError(f"cannot read the argument {word!r}, wanted --config.FIELD=VALUE")
    _check_known(name.removeprefix("--config."), flat_fields(default()))


def _check_known(name: str, known: Mapping[str, Any]) -> None:
    if name not in known:
        nearest = difflib.get_close_matches(name, known, n=1, cutoff=0.0)[0]
        raise ConfigError(
            f"unknown config field {name!r}; the nearest is {nearest!r} (see tvdim_jax/config.py)"
        )


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())
