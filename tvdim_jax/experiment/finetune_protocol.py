"""How a fine-tuning trains: its options, what is recorded, the protocols to choose from."""

import math
from typing import Literal, NamedTuple

LMI_FROZEN = ("stem", "stage_1", "stage_2", "stage_3", "stage_4", "stage_5")


class FineTuning(NamedTuple):
    """How to train, by Adam (0.9, 0.999).

    Attributes:
      num_steps: updates, at least 1.
      batch_size: images of an update; rounded up to a multiple of the devices.
      learning_rate: peak, of the head.
      schedule: after the warm-up: "cosine" to 0, or "constant".
      warmup_steps: updates until the peak, fewer than num_steps.
      layer_decay: rate of a layer over that of the next one, see train.layer_rates; 1 = all alike.
      weight_decay: L2 added to the gradient of all that is trained.
      frozen: parts of the encoder whose parameters stay bit-equal, by the names of the parameter
        tree or by what these begin with before a "_": "stage_1" is all its blocks.
      batch_statistics: batch norms train by the statistics of the batch, and the running ones move
        in frozen parts too (LMI's authors). False: by the running ones, which stay: frozen parts
        then compute what they did in pre-training.
    """

    num_steps: int
    batch_size: int = 64
    learning_rate: float = 5e-4
    schedule: Literal["cosine", "constant"] = "cosine"
    warmup_steps: int = 0
    layer_decay: float = 1.0
    weight_decay: float = 0.0
    frozen: tuple[str, ...] = ()
    batch_statistics: bool = True


class Protocol(NamedTuple):
    """What was done; `_asdict()` is JSON. The first fields are those of FineTuning.

    Attributes:
      batch_size: after rounding.
      augment: preset of the training images; the test images are as in every evaluation.
      num_trained_parameters: numbers that were trained, the head among them.
      num_frozen_parameters: numbers that were not.
      num_train: labelled training images.
      num_test: test images that were read.
      num_test_unreadable: that were not, and do not count.
      num_classes: C.
      labels_per_image: "one" (softmax) or "several" (a sigmoid each).
      nonfinite_steps: updates that were skipped, their loss or gradient not being finite.
      seed: of head, order and augmentation.
    """

    num_steps: int
    batch_size: int
    learning_rate: float
    schedule: str
    warmup_steps: int
    layer_decay: float
    weight_decay: float
    frozen: tuple[str, ...]
    batch_statistics: bool
    augment: str
    num_trained_parameters: int
    num_frozen_parameters: int
    num_train: int
    num_test: int
    num_test_unreadable: int
    num_classes: int
    labels_per_image: str
    nonfinite_steps: int
    seed: int


def lmi_protocol(num_train: int, *, frozen: bool) -> FineTuning:
    """Downstream training of the LMI authors for their `resnet256_6_2_1` (arXiv 2103.04537).

    Adam at 5e-4 throughout, batches of 64, 300 epochs. Frozen: stem to stage 5 keep their
    parameters, stage 6 and the head train; batch statistics move in all of them, as the authors
    left the model in training mode. Theirs is one model a finding, trained on the images whose
    label of it is known; several labels here share one encoder and mask what is unknown.

    Args:
      num_train: training images.
      frozen: False trains everything.
    """
    return FineTuning(
        num_steps=300 * math.ceil(num_train / 64),
        schedule="constant",
        frozen=LMI_FROZEN if frozen else (),
    )


def default_protocol(num_train: int) -> FineTuning:
    """A training for any of our encoders: 30 epochs of 64 images, all parts.

    Adam at 1e-3, warmed up in the first twentieth of the updates and falling by a cosine; each
    layer learns at 0.75 of the rate of the next one, as is usual for transformers (He et al. 2022,
    arXiv 2111.06377).

    Args:
      num_train: training images.
    """
    num_steps = 30 * math.ceil(num_train / 64)
    return FineTuning(num_steps, learning_rate=1e-3, warmup_steps=num_steps // 20, layer_decay=0.75)


def chosen_protocol(
    name: str, num_train: int, *, epochs: int = 0, learning_rate: float = 0.0
) -> FineTuning:
    """The protocol of a name, with what is to differ from it.

    Args:
      name: "default", "lmi_frozen" or "lmi_tuned".
      num_train: training images.
      epochs: passes over them; 0 takes those of the protocol.
      learning_rate: peak; 0 takes that of the protocol.
    """
    if name == "default":
        options = default_protocol(num_train)
    else:
        options = lmi_protocol(num_train, frozen=name == "lmi_frozen")
    if epochs:
        num_steps = epochs * math.ceil(num_train / options.batch_size)
        warmup_steps = num_steps * options.warmup_steps // options.num_steps
        options = options._replace(num_steps=num_steps, warmup_steps=warmup_steps)
    return options._replace(learning_rate=learning_rate) if learning_rate else options


def check_options(options: FineTuning) -> None:
    """Raises ValueError for numbers of updates or images that do not add up."""
    if not 0 <= options.warmup_steps < options.num_steps or options.batch_size < 1:
        raise ValueError(
            f"fine-tuning: got {options.num_steps} updates, {options.warmup_steps} of them to warm "
            f"up, of {options.batch_size} images, wanted at least 1 update more than the warm-up "
            "has, and at least 1 image"
        )
