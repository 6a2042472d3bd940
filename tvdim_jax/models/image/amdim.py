"""AMDIM image encoder: a residual convolutional net whose feature positions barely overlap.

Bachman, Hjelm, Buchwalter 2019 (arXiv 1906.00910) and `model.py` of their release.
Deviation from the release: over several devices batch statistics are global, not per device.
"""

import math
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from tvdim_jax.features import Features
from tvdim_jax.models.batch_norm import batch_norm
from tvdim_jax.models.heads import ResidualHead
from tvdim_jax.models.image.check import check_images
from tvdim_jax.models.initializers import uniform, uniform_fan_in

# Per image size: the blocks up to the 7x7 map, as (kernel, stride, width in multiples of ndf).
_BLOCKS_TO_7 = {
    32: ((4, 2, 2), (2, 2, 4)),
    64: ((4, 2, 2), (4, 2, 4), (2, 2, 8)),
    128: ((4, 2, 2), (4, 2, 4), (2, 2, 8)),
}


def _convolution(features: int, kernel: int, stride: int, dtype: Any, name: str) -> nn.Module:
    """No padding, no bias. The 1x1 convolution is a matmul: the step is 10 % faster on a CPU."""
    if kernel == 1:
        return nn.Dense(
            features, use_bias=False, dtype=dtype, kernel_init=uniform_fan_in, name=name
        )
    return nn.Conv(
        features,
        (kernel, kernel),
        stride,
        padding="VALID",
        use_bias=False,
        dtype=dtype,
        kernel_init=uniform_fan_in,
        name=name,
    )


class ConvStem(nn.Module):
    """k x k convolution with bias and ReLU, after an optional reflecting border."""

    features: int
    kernel: int
    stride: int
    padding: int
    dtype: Any

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """`[B, h, w, C]` -> `[B, h', w', features]`, at least zero."""
        border = (self.padding, self.padding)
        x = jnp.pad(x, ((0, 0), border, border, (0, 0)), mode="reflect")
        bias_bound = 1.0 / math.sqrt(self.kernel**2 * x.shape[-1])
        x = nn.Conv(
            self.features,
            (self.kernel, self.kernel),
            self.stride,
            padding="VALID",
            dtype=self.dtype,
            kernel_init=uniform_fan_in,
            bias_init=uniform(bias_bound),
            name="conv",
        )(x)
        return nn.relu(x)


class ResidualUnit(nn.Module):
    """k x k convolution, ReLU, 1x1 convolution; plus the average-pooled input, zeros appended.

    No activation after the sum. The second convolution starts at zero, so that at the start a unit
    is its shortcut. Needs features >= input channels.
    """

    features: int
    kernel: int
    stride: int
    use_bn: bool
    dtype: Any

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        """`[B, h, w, C]` -> `[B, h', w', features]`, h' = (h - kernel) / stride + 1."""
        branch = _convolution(self.features, self.kernel, self.stride, self.dtype, "conv")(x)
        if self.use_bn:
            branch = batch_norm(train=train, dtype=self.dtype, name="batch_norm")(branch)
        branch = nn.Dense(
            self.features,
            use_bias=False,
            dtype=self.dtype,
            kernel_init=nn.initializers.zeros,
            name="dense",
        )(nn.relu(branch))
        shortcut = x
        if self.kernel > 1:
            window, strides = (self.kernel, self.kernel), (self.stride, self.stride)
            shortcut = nn.avg_pool(x, window, strides)
        new_channels = self.features - x.shape[-1]
        return branch + jnp.pad(shortcut, ((0, 0), (0, 0), (0, 0), (0, new_channels)))


class AMDIMEncoder(nn.Module):
    """Images -> one global vector and maps of 5x5 and 7x7 local vectors, all of width rkhs.

    Attributes:
      image_size: 32, 64 or 128 pixels.
      ndf: width of the first layer.
      rkhs: output width D; at least 4 ndf at 32 pixels, 8 ndf at 64 and 128.
      depth: units per block.
      use_bn: batch norm in every unit, too; False leaves only the three output ones.
      dtype: compute type of the convolutions, float32 or bfloat16. Parameters, batch statistics
        and the returned features are float32.
    """

    image_size: int
    ndf: int
    rkhs: int
    depth: int
    use_bn: bool = False
    dtype: Any = jnp.float32

    @property
    def num_features(self) -> int:
        """Width D of the global features."""
        return self.rkhs

    @property
    def num_channels(self) -> int:
        """Channels of the images: 3."""
        return 3

    def field_pixels(self, height: int) -> int:
        """Side of the square that one vector of a map sees, the first flush with the border.

        Args:
          height: of the map, 5 or 7.
        """
        stem = ((5, 2), (3, 1)) if self.image_size == 128 else ((3, 1),)
        layers = [*stem, *((k, stride) for k, stride, _ in _BLOCKS_TO_7[self.image_size])]
        if height == 5:
            layers.append((3, 1))
        field, jump = 1, 1
        for kernel, stride in layers:
            field, jump = field + (kernel - 1) * jump, jump * stride
        padding = 2 if self.image_size == 128 else 0  # of the stem: what lies outside the image
        return field - 2 * padding

    @nn.compact
    def __call__(self, images: jax.Array, *, train: bool) -> Features:
        """Encodes a batch.

        Args:
          images: `[B, s, s, 3]` float, normalised; s = image_size.
          train: True normalises with batch statistics (B >= 2) and updates `batch_stats`.

        Returns:
          Features: global `[B, rkhs]`, local `{5: [B, 5, 5, rkhs], 7: [B, 7, 7, rkhs]}`, float32.

        Raises:
          ValueError: a wrong image_size, depth, rkhs or shape of `images`.
        """
        _check(self, images)
        top = self.ndf * _BLOCKS_TO_7[self.image_size][-1][-1]
        x = self._stem(images.astype(self.dtype), train=train)
        for i, (kernel, stride, multiple) in enumerate(_BLOCKS_TO_7[self.image_size]):
            x = self._block(x, self.ndf * multiple, kernel, stride, f"block_{i}", train=train)
        if self.use_bn:
            x = batch_norm(train=train, dtype=self.dtype, name="batch_norm_7")(x)
        map_7 = x
        map_5 = x = self._block(x, top, 3, 1, "block_to_5", train=train)
        x = self._block(x, top, 3, 1, "block_to_3", train=train)
        x = ResidualUnit(self.rkhs, 3, 1, self.use_bn, self.dtype, name="unit_to_1")(x, train=train)
        map_1 = batch_norm(train=train, dtype=jnp.float32, name="batch_norm_1")(x)
        heads = {
            height: ResidualHead(self.rkhs, self.use_bn, self.dtype, name=f"head_{height}")
            for height in (5, 7)
        }
        return Features(
            global_features=map_1[:, 0, 0],
            local_features={
                5: heads[5](map_5, train=train),
                7: heads[7](map_7, train=train),
            },
        )

    def _stem(self, x: jax.Array, *, train: bool) -> jax.Array:
        if self.image_size == 32:
            x = ConvStem(self.ndf, 3, 1, 0, self.dtype, name="stem")(x)
            return ResidualUnit(self.ndf, 1, 1, self.use_bn, self.dtype, name="unit_0")(
                x, train=train
            )
        if self.image_size == 64:
            return ConvStem(self.ndf, 3, 1, 0, self.dtype, name="stem")(x)
        x = ConvStem(self.ndf, 5, 2, 2, self.dtype, name="stem")(x)
        return ConvStem(self.ndf, 3, 1, 0, self.dtype, name="stem_2")(x)

    def _block(
        self, x: jax.Array, features: int, kernel: int, stride: int, name: str, *, train: bool
    ) -> jax.Array:
        for i in range(self.depth):
            k, s = (kernel, stride) if i == 0 else (1, 1)
            unit = ResidualUnit(features, k, s, self.use_bn, self.dtype, name=f"{name}_unit_{i}")
            x = unit(x, train=train)
        return x


def _check(encoder: "AMDIMEncoder", images: jax.Array) -> None:
    if encoder.image_size not in _BLOCKS_TO_7:
        raise ValueError(
            f"AMDIMEncoder: image_size is {encoder.image_size}; wanted one of "
            f"{sorted(_BLOCKS_TO_7)}. Resize the images or choose another encoder."
        )
    multiple = _BLOCKS_TO_7[encoder.image_size][-1][-1]
    if encoder.rkhs < multiple * encoder.ndf:
        raise ValueError(
            f"AMDIMEncoder: rkhs is {encoder.rkhs}; wanted at least {multiple} * ndf = "
            f"{multiple * encoder.ndf} at image_size {encoder.image_size}. Raise rkhs or lower ndf."
        )
    if encoder.depth < 1:
        raise ValueError(f"AMDIMEncoder: depth is {encoder.depth}; wanted at least 1 unit a block.")
    check_images("AMDIMEncoder", images, encoder.image_size, encoder.num_channels)
