"""Photographs with captions, some of them swapped: the config of each arm, and what it is worth."""

from collections.abc import Mapping
from typing import Any

from ml_collections import ConfigDict

from benchmarks.studies.training import Trained
from tvdim_jax.config import check, default
from tvdim_jax.experiment.data import Splits
from tvdim_jax.experiment.encoders import make_encoders
from tvdim_jax.experiment.evaluation import evaluate

# No teacher: its clean part would be held back from a set that is small as it is.
ARMS: Mapping[str, Mapping[str, Any]] = {
    "info_nce": {"objective.pair_loss": "info_nce"},
    "softmax5_own": {
        "objective.pair_loss": "similarity_regulated",
        "objective.norm": "softmax",
        "objective.delta": 5.0,
    },
}
_FIELDS: Mapping[str, Any] = {
    "data.source": "captions",
    "data.image_size": 40,
    "data.num_threads": 2,
    "model.image": "amdim_demo",
    "model.image_size": 32,
    "model.text": "text_demo",
    "model.embedding_width": 128,
    "objective.name": "clip",
    "augment": "stl",
    "tokenizer.vocab_size": 3_000,
    "tokenizer.max_length": 24,
    "optimizer.learning_rate": 2e-3,
    "optimizer.warmup_steps": 100,
    "optimizer.schedule": "cosine",
    "train.batch_size": 64,
    "train.num_steps": 1_200,
    "train.log_every": 100,
    "eval.tasks": ("linear_probe", "retrieval"),
    "eval.num_train_examples": 6_000,
}


def make_config(
    arm: str, share: float, seed: int, *, num_steps: int | None, path: str
) -> ConfigDict:
    """The config of one arm.

    Args:
      arm: key of `ARMS`.
      share: of the training rows whose captions are swapped.
      seed: of weights, data order, augmentation and swapped rows.
      num_steps: updates; None is the study's number.
      path: folder of the captions.

    Returns:
      The checked, locked config.
    """
    config = default()
    fields = {**_FIELDS, **ARMS[arm], "seed": seed, "data.path": path}
    fields |= {"data.noise_rate": share, "data.noise_seed": seed}
    if num_steps is not None:
        fields["train.num_steps"] = num_steps
    config.update_from_flattened_dict(fields)
    check(config)
    return config.lock()


def score_arm(config: ConfigDict, splits: Splits, trained: Trained) -> dict[str, Any]:
    """Shares in [0, 1]: "probe", mean AUC over the concepts; "retrieval" and its "chance"."""
    encoders = make_encoders(config, trained.model, trained.params, trained.variables)
    found = evaluate(
        {"trained": encoders}, splits, trained.tokenizer, config, tasks=config.eval.tasks
    )
    probe, retrieval = (found.rows["trained"][task].result for task in config.eval.tasks)
    return {
        "probe": next(iter(probe["metrics"].values())),
        "retrieval": retrieval["metrics"],
        "chance": retrieval["chance"],
    }
