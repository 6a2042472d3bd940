"""Residual nets: the image encoder of LMI, for grey images, and ResNet-50.

He et al. 2016 (arXiv 1512.03385); Liao et al. 2021 (arXiv 2103.04537) and the `resnet256_6_2_1` of
their release; torchvision's ResNet "v1.5", which strides in the 3x3 convolution of a bottleneck.
Over several devices batch statistics are global, not per device.
"""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from tvdim_jax.features import Features
from tvdim_jax.models.batch_norm import batch_norm
from tvdim_jax.models.image.check import check_images

_kernel_init = nn.initializers.variance_scaling(2.0, "fan_out", "normal")

# A convolution of a block: (features, kernel, stride).
_Convolution = tuple[int, int, int]


class ConvNorm(nn.Module):
    """k x k convolution, zero border of k // 2 on each side, no bias; then batch norm."""

    features: int
    kernel: int
    stride: int
    dtype: Any

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        """`[B, h, w, C]` -> `[B, ceil(h / stride), ceil(w / stride), features]`."""
        border = (self.kernel // 2, self.kernel // 2)  # "SAME" would pad an even side unevenly
        x = nn.Conv(
            self.features,
            (self.kernel, self.kernel),
            self.stride,
            padding=(border, border),
            use_bias=False,
            dtype=self.dtype,
            kernel_init=_kernel_init,
            name="conv",
        )(x)
        norm = batch_norm(train=train, dtype=self.dtype, name="batch_norm", unbiased_variance=True)
        return norm(x)


class ResidualBlock(nn.Module):
    """relu(branch(x) + shortcut(x)).

    The branch is a chain of ConvNorm with ReLU between. The shortcut is the input itself, or a
    1x1 ConvNorm where the block strides or changes the width.

    Attributes:
      convolutions: (features, kernel, stride) of each one in the branch.
      dtype: compute type.
    """

    convolutions: Sequence[_Convolution]
    dtype: Any

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        """`[B, h, w, C]` -> `[B, h', w', features of the last convolution]`."""
        branch, total_stride = x, 1
        for i, (features, kernel, stride) in enumerate(self.convolutions, start=1):
            conv = ConvNorm(features, kernel, stride, self.dtype, name=f"conv_{i}")
            branch = conv(nn.relu(branch) if i > 1 else x, train=train)
            total_stride *= stride
        shortcut = x
        if total_stride > 1 or branch.shape[-1] != x.shape[-1]:
            conv = ConvNorm(branch.shape[-1], 1, total_stride, self.dtype, name="shortcut")
            shortcut = conv(x, train=train)
        return nn.relu(branch + shortcut)


class LMIResNet(nn.Module):
    """Grey images -> the map of the last stage but one and a vector of the last stage's map.

    3x3 stem, then stages of two basic blocks (3x3, 3x3), each stage starting with stride 2. The
    vector is the last map, averaged in 2x2 windows (a last odd row or column left out) and
    flattened with the channel slowest. Defaults: `resnet256_6_2_1`, made for 256 pixels, where the
    local map is 8x8x128, 64 regions, and the vector has 768 numbers; so it has at 224 and 320.

    Attributes:
      image_size: side in pixels, at least 2^stages + 1.
      stage_widths: channels of each stage; the stem is as wide as the first.
      dtype: compute type of the convolutions, float32 or bfloat16. Parameters, batch statistics
        and the returned features are float32.
    """

    image_size: int = 256
    stage_widths: Sequence[int] = (8, 16, 32, 64, 128, 192)
    dtype: Any = jnp.float32

    @property
    def num_features(self) -> int:
        """Width D of the global features."""
        return (_side(self.image_size, len(self.stage_widths)) // 2) ** 2 * self.stage_widths[-1]

    @property
    def num_channels(self) -> int:
        """Channels of the images: 1, grey."""
        return 1

    @nn.compact
    def __call__(self, images: jax.Array, *, train: bool) -> Features:
        """Encodes a batch.

        Args:
          images: `[B, s, s, 1]` float, s = image_size; the release divides each image by its
            largest value.
          train: True normalises with batch statistics and updates `batch_stats`.

        Returns:
          Features, float32: global `[B, num_features]`, z of the release; local `{8: [B, 8, 8,
          128]}` at 256 pixels, its z_local: one map, its key the height.

        Raises:
          ValueError: a wrong image_size or shape of `images`.
        """
        stages = len(self.stage_widths)
        _check_size("LMIResNet", self.image_size, 2**stages + 1)
        check_images("LMIResNet", images, self.image_size, self.num_channels)
        stem = ConvNorm(self.stage_widths[0], 3, 1, self.dtype, name="stem")
        x = local = nn.relu(stem(images.astype(self.dtype), train=train))
        for stage, width in enumerate(self.stage_widths, start=1):
            local = x
            for block, stride in ((1, 2), (2, 1)):
                convolutions = ((width, 3, stride), (width, 3, 1))
                name = f"stage_{stage}_block_{block}"
                x = ResidualBlock(convolutions, self.dtype, name=name)(x, train=train)
        local, x = local.astype(jnp.float32), x.astype(jnp.float32)
        pooled = nn.avg_pool(x, (2, 2), (2, 2))
        z = pooled.transpose(0, 3, 1, 2).reshape(len(images), -1)
        return Features(global_features=z, local_features={local.shape[1]: local})


class ResNet(nn.Module):
    """Colour images -> the maps of the four stages and the mean of the last one.

    7x7 stem with stride 2, max pooling, stages of bottleneck blocks (1x1, 3x3, 1x1 four times as
    wide); stages 2 to 4 start with stride 2, in the 3x3 convolution. Defaults: ResNet-50 without
    its classifier.

    Attributes:
      image_size: side in pixels, at least 32.
      width: channels of the stem; stage k ends with 4 * 2^(k - 1) as many.
      stage_blocks: blocks of each stage.
      dtype: compute type of the convolutions, float32 or bfloat16. Parameters, batch statistics
        and the returned features are float32.
    """

    image_size: int = 224
    width: int = 64
    stage_blocks: Sequence[int] = (3, 4, 6, 3)
    dtype: Any = jnp.float32

    @property
    def num_features(self) -> int:
        """Width D of the global features."""
        return 4 * self.width * 2 ** (len(self.stage_blocks) - 1)

    @property
    def num_channels(self) -> int:
        """Channels of the images: 3."""
        return 3

    @nn.compact
    def __call__(self, images: jax.Array, *, train: bool) -> Features:
        """Encodes a batch.

        Args:
          images: `[B, s, s, 3]` float, normalised; s = image_size.
          train: True normalises with batch statistics and updates `batch_stats`.

        Returns:
          Features, float32: global `[B, num_features]`; local, keys the heights, at 224 pixels
          `{56: [B, 56, 56, 256], 28: [B, 28, 28, 512], 14: [B, 14, 14, 1024], 7: [B, 7, 7, 2048]}`.

        Raises:
          ValueError: a wrong image_size or shape of `images`.
        """
        _check_size("ResNet", self.image_size, 32)  # below, two maps would share a height
        check_images("ResNet", images, self.image_size, self.num_channels)
        stem = ConvNorm(self.width, 7, 2, self.dtype, name="stem")
        x = nn.relu(stem(images.astype(self.dtype), train=train))
        x = nn.max_pool(x, (3, 3), (2, 2), padding=((1, 1), (1, 1)))
        local_features: dict[int | str, jax.Array] = {}
        for stage, blocks in enumerate(self.stage_blocks, start=1):
            width = self.width * 2 ** (stage - 1)
            for block in range(1, blocks + 1):
                stride = 2 if stage > 1 and block == 1 else 1
                convolutions = ((width, 1, 1), (width, 3, stride), (4 * width, 1, 1))
                name = f"stage_{stage}_block_{block}"
                x = ResidualBlock(convolutions, self.dtype, name=name)(x, train=train)
            local_features[x.shape[1]] = x.astype(jnp.float32)
        return Features(
            global_features=local_features[x.shape[1]].mean((1, 2)), local_features=local_features
        )


def _side(image_size: int, halvings: int) -> int:
    """Height of the map after this many strides of 2, each rounding up."""
    return -(-image_size // 2**halvings)


def _check_size(encoder: str, image_size: int, least: int) -> None:
    if image_size < least:
        raise ValueError(
            f"{encoder}: image_size is {image_size}; wanted at least {least} pixels for its "
            "stages. Resize the images or choose another encoder."
        )
