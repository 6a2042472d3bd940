"""Small twins of a config: one for each objective of its family and each share of wrong captions.

A twin is trained to be compared with the other twins, not to be good. It has a small encoder of
the same kind on small images (IMAGE_TWINS, TEXT_TWINS), fresh weights, at most LIMITS, and one
recipe for all (RECIPE, a learning rate of at least 1e-3, a warm-up of at most a tenth of the
updates). A field that the user names is as he wants it.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ml_collections import ConfigDict

from tvdim_jax.config import (
    ConfigError,
    check,
    flat_fields,
    is_downstream,
    load,
    override,
    uses_text,
)
from tvdim_jax.models import IMAGE_VARIANTS, TEXT_VARIANTS
from tvdim_jax.models.image.amdim import AMDIMEncoder
from tvdim_jax.models.image.resnet import LMIResNet, ResNet
from tvdim_jax.models.image.vit import CLIPViT, ViT
from tvdim_jax.models.text.bert import BertEncoder
from tvdim_jax.models.text.transformer import TextTransformer

# Objective -> the field that is varied, and what is compared beside the config's own choice.
COMPARED: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "tvdim": ("objective.pair_loss", ("ranking", "info_nce", "similarity_regulated")),
    "clip": ("objective.pair_loss", ("info_nce", "similarity_regulated")),
    "srcl": ("objective.pair_loss", ("info_nce", "similarity_regulated")),
    "lmi": ("objective.estimator", ("info_nce", "dv", "jsd")),
}
# Kind of encoder -> its twin and the pixels that it sees. It takes the size of a demo, to learn
# something, where there is one, else that for tests.
IMAGE_TWINS: Mapping[type, tuple[str, int]] = {
    AMDIMEncoder: ("amdim_demo", 32),
    LMIResNet: ("resnet256_tiny", 64),
    ResNet: ("resnet50_tiny", 32),
    ViT: ("vit_demo", 32),
    CLIPViT: ("clip_vit_tiny", 32),
}
TEXT_TWINS: Mapping[type, str] = {TextTransformer: "text_demo", BertEncoder: "bert_tiny"}
# The most that a twin has, where the config has more.
LIMITS: Mapping[str, int] = {
    "train.num_steps": 300,
    "train.batch_size": 64,
    "train.log_every": 20,
    "train.checkpoint_every": 100,
    "tokenizer.vocab_size": 3_000,
    "model.embedding_width": 64,
    "eval.num_train_examples": 1_000,
    "eval.num_test_examples": 1_000,
}
RECIPE: Mapping[str, Any] = {
    "optimizer.image_learning_rate": 0.0,
    "optimizer.text_learning_rate": 0.0,
    "optimizer.schedule": "cosine",
    "model.dtype": "float32",
    # What a run starts from or learns from was made for the encoders of the config.
    "model.start_from": "",
    "model.image_weights": "",
    "model.text_weights": "",
    "objective.teacher": "",
    "objective.teacher_share": 1.0,
    "eval.every": 0,
    "eval.tasks": ("linear_probe", "retrieval"),
}


class Twin(NamedTuple):
    """One run of the comparison.

    Attributes:
      objective: value of the varied field.
      level: share of the training rows whose captions are another row's, in [0, 1).
      config: checked and locked; its workdir is the twin's own.
    """

    objective: str
    level: float
    config: ConfigDict

    def __str__(self) -> str:
        """Such as "info_nce, 20 % of the captions swapped"."""
        return f"{self.objective}, {percent(self.level)} % of the captions swapped"


def percent(level: float) -> str:
    """A share in percent, as in names of files: 0.2 -> "20", 0.125 -> "12.5"."""
    return f"{100 * level:g}"


def make_twins(path: str, overrides: Sequence[str], levels: Sequence[float]) -> list[Twin]:
    """The twins of a config file, level by level.

    Args:
      path: of the config file.
      overrides: see `tvdim_jax.config.load`; they hold for every twin.
      levels: shares in [0, 1), increasing.

    Returns:
      One twin for each level and objective; their run folders lie in one, `runs/NAME_robustness`
      with the NAME of the file, or the `workdir` that the overrides name.

    Raises:
      ConfigError: no such file but a run folder, levels out of range, a config without texts that
        can be swapped, or an override of what the comparison varies.
    """
    if Path(path).is_dir():
        raise ConfigError(
            f"robustness trains small twins of a config file, got the folder {path!r}; name a "
            "file such as configs/demo.py, a run is too late"
        )
    if not levels or sorted({*levels}) != [*levels] or not all(0 <= each < 1 for each in levels):
        got = ",".join(f"{each:g}" for each in levels)
        raise ConfigError(
            f"--levels is {got!r}, wanted increasing shares of at least 0 and below 1, such as "
            "0,.2,.4,.6"
        )
    config = load(path, overrides)
    if not uses_text(config) or is_downstream(config):
        raise ConfigError(
            f"{path} is of objective {config.objective.name!r} at text weight "
            f"{config.objective.text_weight:g}, which compares no image with a caption; wanted "
            f"one of {', '.join(COMPARED)}, with text"
        )
    field, others = COMPARED[config.objective.name]
    for word in overrides:
        name = word.split("=", 1)[0].removeprefix("--config.")
        if name in (field, "data.noise_rate"):
            raise ConfigError(f"config.{name} is what robustness varies; leave {word!r} out")
    own = flat_fields(config)[field]
    base = _small(config, path, overrides)
    return [
        Twin(objective, level, _arm(base, field, objective, level))
        for level in levels
        for objective in dict.fromkeys((*others, own))
    ]


def _small(config: ConfigDict, path: str, overrides: Sequence[str]) -> ConfigDict:
    """The config with small encoders and few updates, and its overrides again on top."""
    flat, model = flat_fields(config), config.model
    image, image_size = _image_twin(model.image, model.image_size)
    fields: dict[str, Any] = {
        **RECIPE,
        **{name: min(flat[name], limit) for name, limit in LIMITS.items()},
        "model.image": image,
        "model.image_size": image_size,
        "model.text": _text_twin(model.text),
        "model.fusion": model.fusion if _is_small(model.fusion) else "fusion_demo",
        "data.image_size": -(-config.data.image_size * image_size // model.image_size),
        "optimizer.learning_rate": max(config.optimizer.learning_rate, 1e-3),
        "workdir": f"runs/{Path(path).stem}_robustness",
    }
    num_steps = fields["train.num_steps"]
    fields["optimizer.warmup_steps"] = min(config.optimizer.warmup_steps, num_steps // 10)
    changed = ConfigDict(config.to_dict())
    changed.update_from_flattened_dict(fields)
    return override(changed, overrides, changeable=("",))


def _image_twin(name: str, image_size: int) -> tuple[str, int]:
    """Name and pixels of the small encoder of the same kind; a small one is its own."""
    kind = IMAGE_VARIANTS[name][0] if name in IMAGE_VARIANTS else None
    return (name, image_size) if kind is None or _is_small(name) else IMAGE_TWINS[kind]


def _text_twin(name: str) -> str:
    if name not in TEXT_VARIANTS or _is_small(name):
        return name  # of a wrong name the encoder tells
    kind, sizes = TEXT_VARIANTS[name]
    return "bert_demo" if sizes.get("pooler") is False else TEXT_TWINS[kind]


def _is_small(name: str) -> bool:
    return "_tiny" in name or "_demo" in name


def _arm(base: ConfigDict, field: str, objective: str, level: float) -> ConfigDict:
    config = ConfigDict(base.to_dict())
    config.update_from_flattened_dict({field: objective, "data.noise_rate": float(level)})
    config.workdir = str(Path(base.workdir) / f"{objective}_noise{percent(level)}")
    check(config)
    return config.lock()
