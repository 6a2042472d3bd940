"""Encoders and heads: inputs -> Features. No loss, no batch keys, no config."""

from tvdim_jax.models.heads import LinearHead, ResidualHead
from tvdim_jax.models.image.positions import resize_positions
from tvdim_jax.models.variants import (
    FUSION_VARIANTS,
    IMAGE_VARIANTS,
    TEXT_VARIANTS,
    ImageEncoder,
    make_fusion_encoder,
    make_image_encoder,
    make_text_encoder,
)

__all__ = [
    "FUSION_VARIANTS",
    "IMAGE_VARIANTS",
    "TEXT_VARIANTS",
    "ImageEncoder",
    "LinearHead",
    "ResidualHead",
    "make_fusion_encoder",
    "make_image_encoder",
    "make_text_encoder",
    "resize_positions",
]
