"""Named sizes of the encoders; docs/models.md lists their parameter counts."""

import difflib
from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp

from tvdim_jax.models.image.amdim import AMDIMEncoder
from tvdim_jax.models.text.transformer import TextTransformer

# A name tells where a size was published; any of them runs at every
# image size that its rkhs allows. amdim_tiny is the twin of all of them at 32, 64 and 128 pixels.
IMAGE_VARIANTS: Mapping[str, Mapping[str, Any]] = {
    "amdim_tiny": {"ndf": 4, "rkhs": 32, "depth": 1},
    "amdim_demo": {"ndf": 16, "rkhs": 128, "depth": 2},
    "amdim_cpu_small": {"ndf": 32, "rkhs": 128, "depth": 3},
    "amdim_cpu_medium": {"ndf": 64, "rkhs": 256, "depth": 3},
    "amdim_cpu_wide": {"ndf": 32, "rkhs": 256, "depth": 2},
    "amdim_default": {"ndf": 128, "rkhs": 1024, "depth": 3},
    "amdim_cifar_small": {"ndf": 128, "rkhs": 1024, "depth": 10},
    "amdim_cifar_large": {"ndf": 256, "rkhs": 2048, "depth": 10},
    "amdim_cifar_bolts": {"ndf": 320, "rkhs": 1280, "depth": 10},
    "amdim_stl10": {"ndf": 192, "rkhs": 1536, "depth": 8},
    "amdim_imagenet_test": {"ndf": 128, "rkhs": 1024, "depth": 6},
    "amdim_imagenet_small": {"ndf": 192, "rkhs": 1536, "depth": 8},
    "amdim_imagenet_medium": {"ndf": 256, "rkhs": 2048, "depth": 10},
    "amdim_imagenet_large": {"ndf": 320, "rkhs": 2560, "depth": 10},
}

TEXT_VARIANTS: Mapping[str, Mapping[str, Any]] = {
    "text_tiny": {"width": 32, "depth": 1, "num_heads": 2},
    "text_demo": {"width": 64, "depth": 2, "num_heads": 4},
    "text_small": {"width": 256, "depth": 4, "num_heads": 4},
}


def make_image_encoder(name: str, *, image_size: int, dtype: Any = jnp.float32) -> AMDIMEncoder:
    """The image encoder called `name`.

    Args:
      name: a key of IMAGE_VARIANTS.
      image_size: 32, 64 or 128 pixels.
      dtype: compute type, float32 or bfloat16.

    Raises:
      ValueError: unknown name. A size that does not fit fails at the first call of the encoder.
    """
    return AMDIMEncoder(image_size=image_size, dtype=dtype, **_find(name, IMAGE_VARIANTS, "image"))


def make_text_encoder(
    name: str,
    *,
    vocab_size: int,
    max_length: int = 32,
    dropout: float = 0.1,
    dtype: Any = jnp.float32,
) -> TextTransformer:
    """The text encoder called `name`.

    Args:
      name: a key of TEXT_VARIANTS.
      vocab_size: number of token ids.
      max_length: longest text in tokens.
      dropout: rate in [0, 1).
      dtype: compute type, float32 or bfloat16.

    Raises:
      ValueError: unknown name.
    """
    return TextTransformer(
        vocab_size=vocab_size,
        max_length=max_length,
        dropout=dropout,
        dtype=dtype,
        **_find(name, TEXT_VARIANTS, "text"),
    )


def _find(name: str, variants: Mapping[str, Mapping[str, Any]], kind: str) -> Mapping[str, Any]:
    if name not in variants:
        near = difflib.get_close_matches(name, variants, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else "."
        raise ValueError(
            f"unknown {kind} encoder {name!r}; wanted one of {', '.join(variants)}{hint}"
        )
    return variants[name]
