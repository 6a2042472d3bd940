"""What is compared: the arms, and the config of each on each set."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from ml_collections import ConfigDict

from tvdim_jax.config import check, default


class Arm(NamedTuple):
    """One method.

    Attributes:
      fields: of the config, where it differs from the other arms.
      is_trained: False leaves the initial weights.
    """

    fields: Mapping[str, Any]
    is_trained: bool = True


def _lmi(
    local_weight: float, global_weight: float, estimator: str = "info_nce", critic: str = "mlp"
) -> dict[str, Any]:
    return {
        "objective.local_weight": local_weight,
        "objective.global_weight": global_weight,
        "objective.estimator": estimator,
        "model.critic": critic,
    }


ARMS: Mapping[str, Arm] = {
    "untrained": Arm(_lmi(1.0, 1.0), is_trained=False),
    "image_only": Arm({"objective.name": "amdim"}),
    "global_dv": Arm(_lmi(0.0, 1.0, "dv")),
    "global_info_nce": Arm(_lmi(0.0, 1.0)),
    "local_info_nce": Arm(_lmi(1.0, 0.0)),
    "local_global_info_nce": Arm(_lmi(1.0, 1.0)),
    # InfoNCE with a critic that is no MLP: two projections and their product.
    "global_dot": Arm(_lmi(0.0, 1.0, critic="dot")),
    "local_dot": Arm(_lmi(1.0, 0.0, critic="dot")),
    "local_global_dot": Arm(_lmi(1.0, 1.0, critic="dot")),
}
# The arms of each set. The MLP takes three times the updates of the product to get as far: the
# photographs, which need more updates than the scenes, have the product alone.
SETS: Mapping[str, tuple[str, ...]] = {
    "scenes": tuple(ARMS),
    "captions": ("untrained", "global_dot", "local_global_dot"),
}
_SHARED: Mapping[str, Any] = {
    "objective.name": "lmi",
    "objective.region_map": 7,
    "data.image_size": 32,
    "model.image_size": 32,
    "model.text": "text_demo",
    "model.critic_hidden": (64, 32),
    # Shifts by up to 4 pixels with a reflected border and no crops: no object is cut away.
    "augment": "cifar",
    "optimizer.learning_rate": 2e-3,
    "optimizer.warmup_steps": 50,
    "optimizer.schedule": "cosine",
    "train.batch_size": 64,
    "train.log_every": 100,
    "data.num_threads": 2,
}
SIZES: Mapping[str, Mapping[str, Any]] = {
    "scenes": {
        "data.source": "scenes",
        "data.num_examples": 20_000,
        "data.max_sentences": 2,
        "tokenizer.vocab_size": 200,
        "tokenizer.max_length": 16,
        "model.image": "amdim_demo",
        "train.num_steps": 800,
    },
    "captions": {
        "data.source": "captions",
        "data.max_sentences": 5,
        "tokenizer.vocab_size": 3_000,
        "tokenizer.max_length": 24,
        "model.image": "amdim_cpu_wide",
        "train.num_steps": 1_200,
        "eval.num_train_examples": 6_000,
    },
}


def make_config(name: str, arm: str, seed: int, *, num_steps: int | None, path: str) -> ConfigDict:
    """The config of one arm on one set.

    Args:
      name: of the set.
      arm: key of `ARMS`.
      seed: of the weights, the data order and the augmentation.
      num_steps: updates; None is the set's number.
      path: folder of the captions; "" for scenes.

    Returns:
      The checked, locked config.
    """
    config = default()
    fields = {**_SHARED, **SIZES[name], **ARMS[arm].fields, "seed": seed, "data.path": path}
    if num_steps is not None:
        fields["train.num_steps"] = num_steps
    config.update_from_flattened_dict(fields)
    check(config)
    return config.lock()
