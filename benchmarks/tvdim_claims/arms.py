"""What is compared: the arms, and the config of each on each set and at each size."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from ml_collections import ConfigDict

from benchmarks.tvdim_claims.tuning import TUNING_ARMS, Recipe
from tvdim_jax.config import check, default

NOISE_PERCENTS = (0, 20, 40, 60)
PAIR_LOSSES = ("ranking", "info_nce", "similarity_regulated")


class Arm(NamedTuple):
    """One method at one share of shuffled captions.

    Attributes:
      fields: of the config, where it differs from the other arms.
      is_trained: False leaves the initial weights.
      is_pixels: True scores pixels instead of an encoder.
    """

    fields: Mapping[str, Any]
    is_trained: bool = True
    is_pixels: bool = False


def name_at(arm: str, percent: int) -> str:
    """Such as "ranking" and "ranking_noise40"."""
    return f"{arm}_noise{percent}" if percent else arm


def _noisy(arm: str, fields: Mapping[str, Any], *percents: int) -> dict[str, Arm]:
    return {
        name_at(arm, percent): Arm({**fields, "data.noise_rate": percent / 100})
        for percent in percents
    }


_AMDIM = {"objective.name": "amdim"}
_TEXT_ONLY = {"objective.image_loss": False}
_LOSSES = {name: {"objective.pair_loss": name} for name in PAIR_LOSSES}
_INFO_NCE = _LOSSES["info_nce"]

# The most telling first: they are run in this order.
MAIN: Mapping[str, Arm] = {
    "pixels": Arm(_AMDIM, is_trained=False, is_pixels=True),
    "random": Arm(_AMDIM, is_trained=False),
    "amdim": Arm(_AMDIM),
    **{name: Arm({**fields, "data.noise_rate": 0.0}) for name, fields in _LOSSES.items()},
    **_noisy("ranking", _LOSSES["ranking"], 40),
    **_noisy("info_nce", _LOSSES["info_nce"], 40),
    **_noisy("text_only", _TEXT_ONLY, 0),
    **_noisy("similarity_regulated", _LOSSES["similarity_regulated"], 40),
    **_noisy("ranking", _LOSSES["ranking"], 60, 20),
    **_noisy("info_nce", _LOSSES["info_nce"], 60, 20),
    **_noisy("similarity_regulated", _LOSSES["similarity_regulated"], 60, 20),
    **_noisy("text_only", _TEXT_ONLY, 40),
}
# Of the ranking, whose margin 0.2, all negatives, all scales and weight 1 are in MAIN; and of
# InfoNCE, whose text has at weight 0.3 about the gradient that the ranking's has at 1.
ABLATIONS: Mapping[str, Arm] = {
    **_noisy("hardest", {"objective.negatives": "hardest"}, 0, 40),
    **_noisy("margin0.1", {"objective.margin": 0.1}, 0, 40),
    **_noisy("margin0.4", {"objective.margin": 0.4}, 0, 40),
    **_noisy("scales1", {"objective.scales": (1,)}, 0, 40),
    **_noisy("scales1,5", {"objective.scales": (1, 5)}, 0, 40),
    **_noisy("weight0.3", {"objective.text_weight": 0.3}, 0, 40),
    **_noisy("weight3", {"objective.text_weight": 3.0}, 0, 40),
    **_noisy("info_nce_weight0.3", {**_INFO_NCE, "objective.text_weight": 0.3}, 0, 40),
    **_noisy("info_nce_temperature0.2", {**_INFO_NCE, "objective.temperature": 0.2}, 0, 40),
}
ARMS: Mapping[str, Arm] = {
    **MAIN,
    **ABLATIONS,
    **{name: Arm(fields) for name, fields in TUNING_ARMS.items()},
}
# On products, at 0 and at 40 %: those of MAIN, and each loss at about the gradient of the other.
PRODUCTS = (
    *(name for name, arm in MAIN.items() if arm.fields.get("data.noise_rate", 0) in (0, 0.4)),
    *(name_at(arm, percent) for arm in ("weight3", "info_nce_weight0.3") for percent in (0, 40)),
)
_SHARED: Mapping[str, Any] = {
    "data.source": "captions",
    "objective.name": "tvdim",
    # What the arms choose is named here, so that they stay what they are if a default changes.
    "objective.pair_loss": "ranking",
    "objective.margin": 0.2,
    "objective.negatives": "all",
    "objective.scales": (1, 5, 7),
    "objective.text_weight": 1.0,
    "augment": "stl",
    "tokenizer.vocab_size": 3_000,
    "tokenizer.max_length": 24,
    "optimizer.warmup_steps": 100,
    "optimizer.schedule": "cosine",
    "train.log_every": 100,
    # All of them: rows of a folder may be sorted by class.
    "eval.num_train_examples": 100_000,
    "eval.num_test_examples": 100_000,
}
SIZES: Mapping[str, Mapping[str, Any]] = {
    "cpu": {
        "data.image_size": 40,
        "data.num_threads": 2,
        "model.image": "amdim_demo",
        "model.image_size": 32,
        "model.text": "text_demo",
        "train.batch_size": 32,
        "train.num_steps": 1_200,
    },
    # For a GPU: 100 passes over 5,800 images.
    "gpu": {
        "data.image_size": 80,
        "model.image": "amdim_default",
        "model.image_size": 64,
        "model.text": "text_small",
        "train.batch_size": 128,
        "train.num_steps": 4_600,
    },
}


def make_config(
    size: str, arm: str, seed: int, *, recipe: Recipe | None, num_steps: int | None, path: str
) -> ConfigDict:
    """The config of one arm.

    Args:
      size: key of `SIZES`.
      arm: key of `ARMS`.
      seed: of the weights, the data order, the augmentation and the shuffled captions.
      recipe: what the tuning chose; None for the arms of the tuning, which name their own.
      num_steps: updates; None is the number of the size.
      path: folder of the images.

    Returns:
      The checked, locked config.
    """
    config = default()
    tuned = recipe.fields() if recipe else {}
    fields = {**_SHARED, **SIZES[size], **tuned, **ARMS[arm].fields}
    fields |= {"seed": seed, "data.noise_seed": seed, "data.path": path}
    if num_steps is not None:
        fields["train.num_steps"] = num_steps
    config.update_from_flattened_dict(fields)
    check(config)
    return config.lock()
