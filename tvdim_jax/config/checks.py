"""What each field of a config may be, and the error that says so."""

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from ml_collections import ConfigDict

from tvdim_jax.config.schema import (
    AUGMENTS,
    FINE_TUNINGS,
    OBJECTIVES,
    PAIR_LOSSES,
    SCALES,
    SCHEDULES,
    SOURCES,
    TASKS,
    WRITERS,
    flat_fields,
)

_CHOICES = {
    "data.source": SOURCES,
    "objective.name": OBJECTIVES,
    "objective.pair_loss": PAIR_LOSSES,
    "objective.region_pool": ("max", "mean", "log_mean_exp"),
    "objective.norm": ("ratio", "softmax", "power"),
    "objective.teacher_schedule": ("linear", "constant"),
    "optimizer.name": ("adam", "adamw"),
    "optimizer.schedule": SCHEDULES,
    "model.dtype": ("float32", "bfloat16"),
    "augment": AUGMENTS,
    "model.critic": ("mlp", "bilinear", "dot"),
    "objective.estimator": ("dv", "info_nce", "jsd", "smile", "released_infonce"),
    "objective.negative_regions": ("own", "positive", "all"),
    "objective.sentence_mean": ("flat", "report"),
    "eval.uncertain": ("masked", "positive", "negative"),
    "eval.unmentioned": ("masked", "negative"),
    "eval.finetune_protocol": FINE_TUNINGS,
}

# Every number must be above 0, or within these bounds.
_SHARES = (
    *("data.validation_fraction", "data.noise_rate", "data.max_bad_fraction"),
    *("objective.teacher_share", "objective.mask_rate", "objective.distillation"),
    "optimizer.text_warmup_fraction",
)
_BOUNDS = {
    **dict.fromkeys(_SHARES, (0, 1)),
    **dict.fromkeys(("seed", "data.noise_seed"), (0, 2**32 - 1)),
    # Adam divides by 1 - b^t; an average of decay 1 never moves, a dropout of 1 leaves nothing.
    **dict.fromkeys(
        ("optimizer.b1", "optimizer.b2", "objective.average_decay", "model.dropout"), (0, 0.999999)
    ),
    "train.batch_size": (2, math.inf),  # a negative needs a second image
    **dict.fromkeys(("data.num_threads", "tokenizer.num_plain_words"), (0, math.inf)),
    **dict.fromkeys(
        ("objective.text_weight", "objective.local_weight", "objective.global_weight"),
        (0, math.inf),
    ),
    **dict.fromkeys(("optimizer.weight_decay", "optimizer.text_weight_decay"), (0, math.inf)),
    **dict.fromkeys(
        ("optimizer.image_learning_rate", "optimizer.text_learning_rate"), (0, math.inf)
    ),
    **dict.fromkeys(
        (
            *("objective.contrast_weight", "objective.matching_weight", "objective.word_weight"),
            *("objective.teacher_steps", "objective.distillation_steps", "objective.queue_size"),
        ),
        (0, math.inf),
    ),
    "optimizer.warmup_steps": (0, math.inf),
    "optimizer.clip_norm": (0, math.inf),
    **dict.fromkeys(
        ("eval.every", "eval.finetune_epochs", "eval.finetune_learning_rate"), (0, math.inf)
    ),
}


_LEARNED_TEMPERATURES = (0.001, 0.5)


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
    _check_teacher(config)
    _check_downstream(config)
    _check_group(config)
    low, high = _LEARNED_TEMPERATURES
    if uses_embeddings(config) and not low <= config.objective.temperature <= high:
        raise ConfigError(
            f"config.objective.temperature is {config.objective.temperature!r}, wanted {low} to "
            f"{high}, where {config.objective.name} keeps it; 0.07 is usual"
        )


def uses_text(config: ConfigDict) -> bool:
    """Whether the run has a text encoder: all but AMDIM, which TVDIM at text weight 0 is."""
    if uses_sentences(config) or uses_pair_nets(config):
        return True
    return config.objective.name == "tvdim" and config.objective.text_weight > 0


def reads_grey(config: ConfigDict) -> bool:
    """Whether images are read as 16-bit grey ones, as the views of X-rays want them."""
    return bool(config.augment == "xray")


def uses_sentences(config: ConfigDict) -> bool:
    """Whether the run reads each text as sentences: LMI."""
    return config.objective.name == "lmi"


def uses_embeddings(config: ConfigDict) -> bool:
    """Whether images and texts meet whole, projected into a space of their own."""
    return config.objective.name in ("clip", "srcl", "nlvr_assignment")


def uses_fusion(config: ConfigDict) -> bool:
    """Whether texts are matched with images that they are read together with, too: SRCL."""
    return config.objective.name == "srcl"


def uses_answers(config: ConfigDict) -> bool:
    """Whether questions about images are answered: VQA."""
    return config.objective.name == "vqa"


def uses_image_pairs(config: ConfigDict) -> bool:
    """Whether sentences are true or false of two images: NLVR2."""
    return config.objective.name == "nlvr"


def uses_pair_fusion(config: ConfigDict) -> bool:
    """Whether texts are read together with two images: NLVR2 and the step before it."""
    return uses_image_pairs(config) or config.objective.name == "nlvr_assignment"


def compares_texts(config: ConfigDict) -> bool:
    """Whether images are compared with texts: all with text but VQA and NLVR2."""
    return uses_text(config) and not (uses_answers(config) or uses_image_pairs(config))


def is_downstream(config: ConfigDict) -> bool:
    """Whether the run is of a task that starts from SRCL: VQA, NLVR2 and the step before it."""
    return uses_answers(config) or uses_pair_fusion(config)


def uses_pair_nets(config: ConfigDict) -> bool:
    """Whether the run is of CLIP, SRCL, or of what starts from them: nets beside two encoders."""
    return uses_embeddings(config) or uses_answers(config) or uses_image_pairs(config)


def _check_teacher(config: ConfigDict) -> None:
    options = config.objective
    regulated = options.name in ("clip", "srcl") and options.pair_loss == "similarity_regulated"
    if options.teacher and not regulated:
        raise ConfigError(
            f"config.objective.teacher is {options.teacher!r} with objective.name={options.name!r} "
            f"and pair_loss={options.pair_loss!r}, wanted '' there: only similarity_regulated of "
            "clip and srcl asks a teacher"
        )
    if regulated and not options.teacher and options.teacher_share != 1:
        raise ConfigError(
            f"config.objective.teacher_share is {options.teacher_share!r} without a teacher; name "
            "its run folder with --config.objective.teacher=DIR, or leave the share at 1.0"
        )
    if options.teacher and not options.teacher_share:
        raise ConfigError(
            f"config.objective.teacher is {options.teacher!r} with teacher_share=0, so nobody asks "
            "it; leave it out"
        )


def _check_downstream(config: ConfigDict) -> None:
    name, source, model = config.objective.name, config.data.source, config.model
    if (uses_answers(config), uses_image_pairs(config)) != (source == "vqa", source == "nlvr"):
        wanted = f"data.source={name!r}" if name in SOURCES else "another data.source"
        raise ConfigError(
            f"config.objective.name is {name!r} with data.source={source!r}, wanted {wanted}: "
            "questions and image pairs have an objective each, and these read nothing else"
        )
    if source in ("vqa", "nlvr") and config.data.noise_rate:
        raise ConfigError(
            f"config.data.noise_rate is {config.data.noise_rate!r} with data.source={source!r}, "
            "wanted 0.0: its texts have answers"
        )
    if uses_answers(config) and config.tokenizer.answer_length > config.tokenizer.max_length:
        raise ConfigError(
            f"config.tokenizer.answer_length is {config.tokenizer.answer_length}, wanted at most "
            f"max_length={config.tokenizer.max_length}, as questions and answers share positions"
        )
    if not model.start_from:
        return
    if not uses_pair_nets(config):
        raise ConfigError(
            f"config.model.start_from is {model.start_from!r} with objective.name={name!r}, wanted "
            "'' there: only clip, srcl, vqa, nlvr and nlvr_assignment start from a run"
        )
    if model.text_weights or model.image_weights:
        raise ConfigError(
            f"config.model.start_from is {model.start_from!r} beside model.text_weights="
            f"{model.text_weights!r} and image_weights={model.image_weights!r}, wanted one start; "
            "leave the others out"
        )


def _check_group(config: ConfigDict) -> None:
    options, batch = config.objective, config.train.batch_size
    draws = options.matching_weight > 0 if uses_fusion(config) else uses_pair_fusion(config)
    if draws and not uses_image_pairs(config) and batch % min(options.matching_group, batch):
        raise ConfigError(
            f"config.objective.matching_group is {options.matching_group} with train.batch_size="
            f"{batch}, wanted a divisor of it, as hard negatives are drawn within groups; change "
            "one of them"
        )


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
    templates, writers = flat["eval.templates"], flat["train.writers"]
    for name, holds, wanted in (
        ("eval.tasks", all(t in TASKS for t in tasks), f"some of {TASKS}"),
        ("train.writers", all(w in WRITERS for w in writers), f"some of {WRITERS}"),
        ("eval.templates", all(t.count("{}") == 1 for t in templates), "texts with one {} each"),
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
