"""Batch norm of all encoders: eps 1e-5, 0.9 of the old running statistics kept each step."""

from typing import Any

import jax
from flax import linen as nn


def batch_norm(
    *, train: bool, dtype: Any, name: str, unbiased_variance: bool = False
) -> nn.BatchNorm:
    """A batch norm on the last axis; its running statistics are in the collection `batch_stats`.

    Over several devices, under jit with a sharded batch, the statistics are those of the global
    batch (torch keeps one set per device). They are always computed in float32, in two passes:
    E[x^2] - E[x]^2 would lose the small variances of the untrained encoder.

    Args:
      train: True normalises with batch statistics and updates the running ones.
      dtype: type of the output.
      name: of the submodule.
      unbiased_variance: fold the unbiased batch variance into the running one, as torch does, and
        not the biased one, as Flax does. Needs at least two positions when training.
    """
    module = UnbiasedBatchNorm if unbiased_variance else nn.BatchNorm
    return module(
        use_running_average=not train,
        momentum=0.9,
        epsilon=1e-5,
        dtype=dtype,
        use_fast_variance=False,
        name=name,
    )


class UnbiasedBatchNorm(nn.BatchNorm):
    """Batch norm whose running variance follows torch: v <- 0.9 v + 0.1 N / (N - 1) var(batch).

    N is the number of positions of the batch. The output is normalised by the biased variance.

    Raises:
      ValueError: when training on one position, whose variance is unknown.
    """

    def __call__(self, x: jax.Array) -> jax.Array:  # type: ignore[override]
        """Normalises `x` `[..., C]` over all axes but the last."""
        if self.use_running_average or self.is_initializing():
            return super().__call__(x)
        positions = x.size // x.shape[-1]
        if positions < 2:
            raise ValueError(
                f"batch norm: an input of shape {x.shape} has one position; wanted at least 2 when "
                "training. Use a larger batch or larger images."
            )
        kept = self.momentum * self.get_variable("batch_stats", "var")
        y = super().__call__(x)
        added = self.get_variable("batch_stats", "var") - kept
        self.put_variable("batch_stats", "var", kept + added * positions / (positions - 1))
        return y
