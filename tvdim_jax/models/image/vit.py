"""Vision transformers: ViT as DeiT trains it, and the image tower of CLIP.

Dosovitskiy et al. 2021 (arXiv 2010.11929), Touvron et al. 2021 (arXiv 2012.12877), Radford et al.
2021 (arXiv 2103.00020). No dropout and no stochastic depth, as in ALBEF.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax.typing import Initializer

from tvdim_jax.features import Features
from tvdim_jax.models.image.check import check_images
from tvdim_jax.models.initializers import uniform, uniform_fan_in


def quick_gelu(x: jax.Array) -> jax.Array:
    """CLIP's approximation of GELU: x * sigmoid(1.702 x)."""
    return x * nn.sigmoid(1.702 * x)


class ViTBlock(nn.Module):
    """x + attention(norm(x)), then x + mlp(norm(x)); the MLP is 4 times as wide.

    Scores and softmax of the attention and the statistics of the norms are float32.
    """

    num_heads: int
    activation: Callable[[jax.Array], jax.Array]
    epsilon: float
    kernel_init: Initializer
    dtype: Any

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """`[B, T, width]` -> `[B, T, width]`."""
        width = x.shape[-1]
        y = layer_norm(self.epsilon, self.dtype, "norm_1")(x)
        x = x + nn.MultiHeadDotProductAttention(
            self.num_heads,
            dtype=self.dtype,
            kernel_init=self.kernel_init,
            attention_fn=jax.nn.dot_product_attention,
            name="attention",
        )(y)
        y = layer_norm(self.epsilon, self.dtype, "norm_2")(x)
        y = nn.Dense(4 * width, dtype=self.dtype, kernel_init=self.kernel_init, name="dense_1")(y)
        return x + nn.Dense(width, dtype=self.dtype, kernel_init=self.kernel_init, name="dense_2")(
            self.activation(y)
        )


class ViT(nn.Module):
    """Colour images -> class token and patch grid, after pre-LN blocks and a last norm.

    ViT as in DeiT and in ALBEF: class token, learned positions, exact GELU, eps 1e-6. Kernels,
    positions and class token start normal with standard deviation 0.02.

    Attributes:
      image_size: side in pixels; a multiple of patch_size. Weights of another size fit after
        `resize_positions`.
      patch_size: side of a patch in pixels.
      width: D, of every layer; a multiple of num_heads.
      depth: number of blocks.
      num_heads: attention heads.
      dtype: compute type, float32 or bfloat16. Parameters, softmax and the returned features are
        float32.
    """

    image_size: int = 224
    patch_size: int = 16
    width: int = 768
    depth: int = 12
    num_heads: int = 12
    dtype: Any = jnp.float32

    @property
    def num_features(self) -> int:
        """Width D of the global features."""
        return self.width

    @property
    def num_channels(self) -> int:
        """Channels of the images: 3."""
        return 3

    @nn.compact
    def __call__(self, images: jax.Array, *, train: bool) -> Features:
        """Encodes a batch.

        Args:
          images: `[B, s, s, 3]` float, normalised; s = image_size.
          train: changes nothing: no dropout, no batch statistics.

        Returns:
          Features, float32, of h = image_size / patch_size: global `[B, D]`, the class token; local
          `{h: [B, h, h, D]}`, the patches. The token sequence `[B, 1 + h * h, D]` that fusion reads
          is `concatenate([global[:, None], local[h].reshape(B, h * h, D)], axis=1)`.

        Raises:
          ValueError: sizes that do not divide, or a wrong shape of `images`.
        """
        del train
        _check(self, images)
        kernel_init = nn.initializers.normal(0.02)
        x = _embed(self, images, use_bias=True, init=kernel_init)
        x = _blocks(self, x, lambda y: nn.gelu(y, approximate=False), 1e-6, kernel_init)
        return _features(layer_norm(1e-6, jnp.float32, "norm")(x))


class CLIPViT(nn.Module):
    """The image tower of CLIP: a ViT with a norm before the blocks, too, and a projection.

    No bias in the patch embedding, QuickGELU, eps 1e-5. CLIP itself reads the class token alone;
    here the patches pass through the same last norm and projection, so that all vectors are of one
    space. Class token, positions and projection start normal with variance 1 / width, the dense
    layers fan-in uniform with zero biases.

    Attributes:
      image_size: side in pixels; a multiple of patch_size. Weights of another size fit after
        `resize_positions`.
      patch_size: side of a patch in pixels.
      width: of every block; a multiple of num_heads.
      depth: number of blocks.
      num_heads: attention heads.
      projection: width D of the features; None leaves the projection out, D = width, as ALBEF and
        SRCL use the net.
      dtype: compute type, float32 or bfloat16. Parameters, softmax and the returned features are
        float32.
    """

    image_size: int = 224
    patch_size: int = 16
    width: int = 768
    depth: int = 12
    num_heads: int = 12
    projection: int | None = 512
    dtype: Any = jnp.float32

    @property
    def num_features(self) -> int:
        """Width D of the global features."""
        return self.width if self.projection is None else self.projection

    @property
    def num_channels(self) -> int:
        """Channels of the images: 3."""
        return 3

    @nn.compact
    def __call__(self, images: jax.Array, *, train: bool) -> Features:
        """Encodes a batch.

        Args:
          images: `[B, s, s, 3]` float, normalised; s = image_size.
          train: changes nothing: no dropout, no batch statistics.

        Returns:
          Features as those of ViT, of width D = num_features.

        Raises:
          ValueError: sizes that do not divide, or a wrong shape of `images`.
        """
        del train
        _check(self, images)
        table_init = nn.initializers.normal(self.width**-0.5)
        x = _embed(self, images, use_bias=False, init=table_init)
        x = layer_norm(1e-5, self.dtype, "norm_before")(x)
        x = _blocks(self, x, quick_gelu, 1e-5, uniform_fan_in)
        x = layer_norm(1e-5, jnp.float32, "norm")(x)
        if self.projection is not None:
            dense = nn.Dense(
                self.projection,
                use_bias=False,
                dtype=self.dtype,
                kernel_init=table_init,
                name="projection",
            )
            x = dense(x).astype(jnp.float32)
        return _features(x)


def layer_norm(epsilon: float, dtype: Any, name: str) -> nn.LayerNorm:
    """Layer norm with float32 statistics in two passes: exact where the mean is large."""
    return nn.LayerNorm(epsilon=epsilon, dtype=dtype, use_fast_variance=False, name=name)


def _embed(
    encoder: ViT | CLIPViT, images: jax.Array, *, use_bias: bool, init: Initializer
) -> jax.Array:
    """Class token and patches with their positions, `[B, 1 + h * h, width]`."""
    patch, width = encoder.patch_size, encoder.width
    patches = nn.Conv(
        width,
        (patch, patch),
        patch,
        padding="VALID",
        use_bias=use_bias,
        dtype=encoder.dtype,
        kernel_init=uniform_fan_in,
        bias_init=uniform((3 * patch**2) ** -0.5),
        name="patches",
    )(images.astype(encoder.dtype))
    batch, height = patches.shape[:2]
    class_token = encoder.param("class_token", init, (1, 1, width))
    positions = encoder.param("positions", init, (1 + height**2, width))
    tokens = [
        jnp.broadcast_to(class_token.astype(encoder.dtype), (batch, 1, width)),
        patches.reshape(batch, height**2, width),
    ]
    return jnp.concatenate(tokens, axis=1) + positions[None].astype(encoder.dtype)


def _blocks(
    encoder: ViT | CLIPViT,
    x: jax.Array,
    activation: Callable[[jax.Array], jax.Array],
    epsilon: float,
    kernel_init: Initializer,
) -> jax.Array:
    for i in range(encoder.depth):
        block = ViTBlock(
            encoder.num_heads, activation, epsilon, kernel_init, encoder.dtype, name=f"block_{i}"
        )
        x = block(x)
    return x


def _features(tokens: jax.Array) -> Features:
    height = round((tokens.shape[1] - 1) ** 0.5)
    grid = tokens[:, 1:].reshape(len(tokens), height, height, -1)
    return Features(global_features=tokens[:, 0], local_features={height: grid})


def _check(encoder: ViT | CLIPViT, images: jax.Array) -> None:
    name = type(encoder).__name__
    if encoder.image_size % encoder.patch_size:
        raise ValueError(
            f"{name}: image_size is {encoder.image_size}; wanted a multiple of patch_size = "
            f"{encoder.patch_size}. Change one of them."
        )
    if encoder.width % encoder.num_heads:
        raise ValueError(
            f"{name}: width is {encoder.width}; wanted a multiple of num_heads = "
            f"{encoder.num_heads}. Change one of them."
        )
    check_images(name, images, encoder.image_size, encoder.num_channels)
