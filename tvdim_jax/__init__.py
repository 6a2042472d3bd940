"""tvdim_jax: self-supervised image and text pre-training by mutual information, in JAX."""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tvdim_jax.experiment.inference import TrainedModel

__version__ = "0.1.0"


def load(path: "str | Path") -> "TrainedModel":
    """Loads the encoders of a run folder; see `tvdim_jax.experiment.inference.load`.

    Example:
      `tvdim_jax.load("runs/demo").encode_text(["a red circle"])`
    """
    # Imported on use: importing the package, its losses or its models must stay cheap.
    from tvdim_jax.experiment import inference  # noqa: PLC0415

    return inference.load(path)
