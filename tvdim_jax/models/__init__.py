"""Encoders and heads: inputs -> Features. No loss, no batch keys, no config."""

from tvdim_jax.models.heads import LinearHead, ResidualHead
from tvdim_jax.models.image.positions import resize_positions
from tvdim_jax.models.variants import (
    IMAGE_VARIANTS,
    TEXT_VARIANTS,
    ImageEncoder,
    make_image_encoder,
    make_text_encoder,
)

__all__ = [
    "IMAGE_VARIANTS",
    "TEXT_VARIANTS",
    "ImageEncoder",
    "LinearHead",
    "ResidualHead",
    "make_image_encoder",
    "make_text_encoder",
    "resize_positions",
]
