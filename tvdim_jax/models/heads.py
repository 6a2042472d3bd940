"""Heads between an encoder and the space in which features are compared, or classes."""

import math
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from tvdim_jax.models.batch_norm import batch_norm
from tvdim_jax.models.initializers import near_identity, uniform, uniform_fan_in


class ResidualHead(nn.Module):
    """Head of AMDIM on the last axis: its 5x5 and 7x7 maps, and the text vector of TVDIM.

    `batch_norm(zero-initialised 1x1 branch + near-identity 1x1 shortcut)`, as in `model.py` of the
    AMDIM release. All axes but the last are positions: a 1x1 convolution on a map, a dense layer on
    a vector.

    Attributes:
      features: output width D.
      use_bn: batch norm inside the branch, too. The output is always batch-normalised.
      dtype: compute type of the matmuls; parameters and statistics are float32.
    """

    features: int
    use_bn: bool = False
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        """Projects `x`.

        Args:
          x: `[B, ..., C]`.
          train: True normalises with batch statistics and updates the collection `batch_stats`.

        Returns:
          `[B, ..., D]` float32, whatever `dtype` is: the last step is a float32 batch norm.
        """
        bias_bound = 1.0 / math.sqrt(x.shape[-1])
        hidden = nn.Dense(
            self.features,
            use_bias=False,
            dtype=self.dtype,
            kernel_init=uniform_fan_in,
            name="dense_1",
        )(x)
        if self.use_bn:
            hidden = batch_norm(train=train, dtype=self.dtype, name="batch_norm_hidden")(hidden)
        branch = nn.Dense(
            self.features,
            use_bias=False,
            dtype=self.dtype,
            kernel_init=nn.initializers.zeros,
            name="dense_2",
        )(nn.relu(hidden))
        shortcut = nn.Dense(
            self.features,
            dtype=self.dtype,
            kernel_init=near_identity,
            bias_init=uniform(bias_bound),
            name="shortcut",
        )(x)
        return batch_norm(train=train, dtype=jnp.float32, name="batch_norm")(branch + shortcut)


class LinearHead(nn.Module):
    """A linear layer with bias on the last axis, as ALBEF projects features and tells matches.

    Weight and bias start uniform in +-1 / sqrt(C), as PyTorch's linear layers do.

    Attributes:
      features: output width; 256 for ALBEF's projections, 2 for its matching head.
      dtype: compute type of the matmul; parameters are float32.
    """

    features: int
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """`[..., C]` -> `[..., features]` float32."""
        dense = nn.Dense(
            self.features,
            dtype=self.dtype,
            kernel_init=uniform_fan_in,
            bias_init=uniform(1.0 / math.sqrt(x.shape[-1])),
            name="dense",
        )
        return dense(x).astype(jnp.float32)
