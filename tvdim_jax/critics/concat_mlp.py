"""A multilayer perceptron on concatenated pairs that never builds the pairs' features."""

import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax.typing import Initializer
from jax.typing import DTypeLike

from tvdim_jax.precision import einsum_float32


class ConcatMLP(nn.Module):
    """Learned critic on the features of a pair, one after the other.

        s_ij = MLP([x_i ; y_j]),    first layer: W [x_i ; y_j] + b = (W_x x_i + b) + W_y y_j

    Dense layers with ReLU between them, no activation at the end. The first layer is linear in the
    pair, so each side is projected once, N + M products and not N M: `split`; `score` adds the two
    and runs the other layers on all pairs of two tiles. To stream over the pairs of a batch:

        pairwise.info_nce_loss(
            lambda params, hx, hy: critic.apply(params, hx, hy, method="score"),
            *critic.apply(params, x, y, method="split"),
            params=params,
        )

    Parameters are float32, `layers_0` with the kernels `x` and `y` and one `bias`, the others with
    `kernel` and `bias`, all drawn from U[-b, b) with b = 1 / sqrt(fan_in), that of the first layer
    being D_x + D_y. The features' type is the compute type: for bfloat16 features each layer's
    inputs and kernels are rounded to it, and products are summed in float32 (float64 stays).

    Attributes:
      hidden: widths of the hidden layers, at least one, each >= 1. The default is LMI's; with D_x =
        D_y = 768 it has 2,099,201 parameters.

    Source: Liao et al. 2021 (arXiv 2103.04537), 1024 and 512 hidden units; initial values of the
    release (torch's linear layers).
    """

    hidden: Sequence[int] = (1024, 512)

    def setup(self) -> None:
        """Makes the layers; raises ValueError without a hidden one."""
        if not self.hidden or min(self.hidden) < 1:
            raise ValueError(
                f"hidden: got {tuple(self.hidden)}, wanted one or more widths of at least 1; "
                "without a hidden layer x and y do not interact: take bilinear"
            )
        widths = *self.hidden[1:], 1
        self.layers = [_SplitDense(self.hidden[0]), *(_Dense(width) for width in widths)]

    def __call__(self, x: jax.Array, y: jax.Array) -> jax.Array:
        """Scores all pairs.

        Args:
          x: `[N, D_x]`, any float.
          y: `[M, D_y]`.

        Returns:
          `[N, M]`, at least float32, any sign.

        Raises:
          ValueError: features that are not `[N, D_x]` and `[M, D_y]`.
        """
        return self.score(*self.split(x, y))

    def split(self, x: jax.Array, y: jax.Array) -> tuple[jax.Array, jax.Array]:
        """First layer of each side, before the ReLU.

        Args:
          x: `[N, D_x]`, any float.
          y: `[M, D_y]`.

        Returns:
          `(W_x x + b [N, H], W_y y [M, H])` with H = `hidden[0]`, in the features' common type.

        Raises:
          ValueError: features that are not `[N, D_x]` and `[M, D_y]`.
        """
        shapes = jnp.shape(x), jnp.shape(y)
        if any(len(shape) != 2 for shape in shapes):
            raise ValueError(
                f"features: got x {shapes[0]} and y {shapes[1]}, wanted [N, D_x] and [M, D_y]; "
                "take one vector an example, and vmap over leading axes"
            )
        first: Any = self.layers[0]
        return first(x, y)

    def score(self, hidden_x: jax.Array, hidden_y: jax.Array) -> jax.Array:
        """The other layers, on all pairs of two tiles of what `split` returned.

        Args:
          hidden_x: `[n, H]`, any float, rows of the first.
          hidden_y: `[m, H]`, rows of the second.

        Returns:
          `[n, m]`, at least float32, any sign.

        Raises:
          ValueError: tiles that are not `[n, H]` and `[m, H]`.
        """
        shapes = jnp.shape(hidden_x), jnp.shape(hidden_y)
        if any(len(shape) != 2 or shape[1] != self.hidden[0] for shape in shapes):
            raise ValueError(
                f"hidden features: got {shapes[0]} and {shapes[1]}, wanted [n, {self.hidden[0]}] "
                f"and [m, {self.hidden[0]}]; give score what split returned, not the features"
            )
        total = hidden_x[:, None] + hidden_y[None]
        # One axis of pairs: with two, XLA copies the tile for the gradient of the kernels.
        pairs, dtype = total.reshape(-1, self.hidden[0]), total.dtype
        for layer in self.layers[1:]:
            pairs = layer(nn.relu(pairs).astype(dtype))
        return pairs.reshape(total.shape[:2])


class _SplitDense(nn.Module):
    """A dense layer on `[x ; y]`, in two halves; the bias is added to that of x."""

    features: int

    @nn.compact
    def __call__(self, x: jax.Array, y: jax.Array) -> tuple[jax.Array, jax.Array]:
        """`[N, D_x]` and `[M, D_y]` -> `[N, features]` and `[M, features]`, in their type."""
        draw = _uniform(fan_in=x.shape[1] + y.shape[1])
        kernel_x = self.param("x", draw, (x.shape[1], self.features))
        kernel_y = self.param("y", draw, (y.shape[1], self.features))
        bias = self.param("bias", draw, (self.features,))
        dtype = jnp.result_type(x, y)
        hidden_x = einsum_float32("nc,cd->nd", jnp.asarray(x, dtype), kernel_x.astype(dtype))
        hidden_y = einsum_float32("mc,cd->md", jnp.asarray(y, dtype), kernel_y.astype(dtype))
        return (hidden_x + bias[None]).astype(dtype), hidden_y.astype(dtype)


class _Dense(nn.Module):
    """A dense layer on pairs."""

    features: int

    @nn.compact
    def __call__(self, pairs: jax.Array) -> jax.Array:
        """`[P, C]` -> `[P, features]`, at least float32."""
        draw = _uniform(fan_in=pairs.shape[1])
        kernel = self.param("kernel", draw, (pairs.shape[1], self.features))
        bias = self.param("bias", draw, (self.features,))
        return einsum_float32("pc,cd->pd", pairs, kernel.astype(pairs.dtype)) + bias[None]


def _uniform(fan_in: int) -> Initializer:
    """U[-b, b) with b = 1 / sqrt(fan_in), for a kernel and its bias."""
    bound = 1.0 / math.sqrt(fan_in)

    def init(key: jax.Array, shape: Sequence[int], dtype: DTypeLike = jnp.float32) -> jax.Array:
        return jax.random.uniform(key, shape, dtype, -bound, bound)

    return init
