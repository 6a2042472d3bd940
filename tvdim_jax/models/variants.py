"""Named sizes of the encoders; docs/models.md lists their parameter counts."""

import difflib
from collections.abc import Mapping
from typing import Any, TypeVar

import jax.numpy as jnp

from tvdim_jax.models.image.amdim import AMDIMEncoder
from tvdim_jax.models.image.resnet import LMIResNet, ResNet
from tvdim_jax.models.image.vit import CLIPViT, ViT
from tvdim_jax.models.text.answer_decoder import AnswerDecoder
from tvdim_jax.models.text.bert import BertEncoder, BertFusion
from tvdim_jax.models.text.pair_fusion import PairFusion
from tvdim_jax.models.text.transformer import TextTransformer

_Variant = TypeVar("_Variant")

ImageEncoder = AMDIMEncoder | LMIResNet | ResNet | ViT | CLIPViT
TextEncoder = TextTransformer | BertEncoder

# A name tells where a size was published; any of them runs at every image size that its class
# allows. The twins "..._tiny" are for tests; amdim_tiny is that of every AMDIM size.
IMAGE_VARIANTS: Mapping[str, tuple[type[ImageEncoder], Mapping[str, Any]]] = {
    "amdim_tiny": (AMDIMEncoder, {"ndf": 4, "rkhs": 32, "depth": 1}),
    "amdim_demo": (AMDIMEncoder, {"ndf": 16, "rkhs": 128, "depth": 2}),
    "amdim_cpu_small": (AMDIMEncoder, {"ndf": 32, "rkhs": 128, "depth": 3}),
    "amdim_cpu_medium": (AMDIMEncoder, {"ndf": 64, "rkhs": 256, "depth": 3}),
    "amdim_cpu_wide": (AMDIMEncoder, {"ndf": 32, "rkhs": 256, "depth": 2}),
    "amdim_default": (AMDIMEncoder, {"ndf": 128, "rkhs": 1024, "depth": 3}),
    "amdim_cifar_small": (AMDIMEncoder, {"ndf": 128, "rkhs": 1024, "depth": 10}),
    "amdim_cifar_large": (AMDIMEncoder, {"ndf": 256, "rkhs": 2048, "depth": 10}),
    "amdim_cifar_bolts": (AMDIMEncoder, {"ndf": 320, "rkhs": 1280, "depth": 10}),
    "amdim_stl10": (AMDIMEncoder, {"ndf": 192, "rkhs": 1536, "depth": 8}),
    "amdim_imagenet_test": (AMDIMEncoder, {"ndf": 128, "rkhs": 1024, "depth": 6}),
    "amdim_imagenet_small": (AMDIMEncoder, {"ndf": 192, "rkhs": 1536, "depth": 8}),
    "amdim_imagenet_medium": (AMDIMEncoder, {"ndf": 256, "rkhs": 2048, "depth": 10}),
    "amdim_imagenet_large": (AMDIMEncoder, {"ndf": 320, "rkhs": 2560, "depth": 10}),
    "resnet256_tiny": (LMIResNet, {"stage_widths": (4, 8, 16, 16)}),
    "resnet256_6_2_1": (LMIResNet, {"stage_widths": (8, 16, 32, 64, 128, 192)}),
    "resnet50_tiny": (ResNet, {"width": 4, "stage_blocks": (1, 1, 1, 1)}),
    "resnet50": (ResNet, {"width": 64, "stage_blocks": (3, 4, 6, 3)}),
    "vit_tiny": (ViT, {"patch_size": 8, "width": 32, "depth": 2, "num_heads": 2}),
    "vit_demo": (ViT, {"patch_size": 8, "width": 64, "depth": 2, "num_heads": 4}),
    "vit_s16": (ViT, {"patch_size": 16, "width": 384, "depth": 12, "num_heads": 6}),
    "vit_b16": (ViT, {"patch_size": 16, "width": 768, "depth": 12, "num_heads": 12}),
    "clip_vit_tiny": (
        CLIPViT,
        {"patch_size": 8, "width": 32, "depth": 2, "num_heads": 2, "projection": 16},
    ),
    "clip_vit_b32": (
        CLIPViT,
        {"patch_size": 32, "width": 768, "depth": 12, "num_heads": 12, "projection": 512},
    ),
    "clip_vit_b16": (
        CLIPViT,
        {"patch_size": 16, "width": 768, "depth": 12, "num_heads": 12, "projection": 512},
    ),
    "clip_vit_b16_unprojected": (
        CLIPViT,
        {"patch_size": 16, "width": 768, "depth": 12, "num_heads": 12, "projection": None},
    ),
}

# "bert_base_6" is the first six layers of BERT-base, ALBEF's text encoder; "bert_tiny_1" its twin.
TEXT_VARIANTS: Mapping[str, tuple[type[TextEncoder], Mapping[str, Any]]] = {
    "text_tiny": (TextTransformer, {"width": 32, "depth": 1, "num_heads": 2}),
    "text_demo": (TextTransformer, {"width": 64, "depth": 2, "num_heads": 4}),
    "text_small": (TextTransformer, {"width": 256, "depth": 4, "num_heads": 4}),
    "bert_tiny": (
        BertEncoder,
        {"width": 32, "depth": 2, "num_heads": 2, "mlp_width": 64, "pooler": True},
    ),
    "bert_tiny_1": (
        BertEncoder,
        {"width": 32, "depth": 1, "num_heads": 2, "mlp_width": 64, "pooler": False},
    ),
    "bert_demo": (
        BertEncoder,
        {"width": 64, "depth": 1, "num_heads": 4, "mlp_width": 128, "pooler": False},
    ),
    "bert_base": (
        BertEncoder,
        {"width": 768, "depth": 12, "num_heads": 12, "mlp_width": 3072, "pooler": True},
    ),
    "bert_base_6": (
        BertEncoder,
        {"width": 768, "depth": 6, "num_heads": 12, "mlp_width": 3072, "pooler": False},
    ),
}

# "fusion_base" is the last six layers of BERT-base with cross-attention, ALBEF's.
FUSION_VARIANTS: Mapping[str, Mapping[str, Any]] = {
    "fusion_tiny": {"depth": 1, "num_heads": 2, "mlp_width": 64},
    "fusion_demo": {"depth": 1, "num_heads": 4, "mlp_width": 128},
    "fusion_base": {"depth": 6, "num_heads": 12, "mlp_width": 3072},
}

# Both have the sizes of the fusion that they start from.
DECODER_VARIANTS: Mapping[str, Mapping[str, Any]] = {
    "decoder_tiny": {"width": 32, **FUSION_VARIANTS["fusion_tiny"]},
    "decoder_base": {"width": 768, **FUSION_VARIANTS["fusion_base"]},
}
PAIR_FUSION_VARIANTS: Mapping[str, Mapping[str, Any]] = {
    "pair_fusion_tiny": FUSION_VARIANTS["fusion_tiny"],
    "pair_fusion_base": FUSION_VARIANTS["fusion_base"],
}


def make_image_encoder(name: str, *, image_size: int, dtype: Any = jnp.float32) -> ImageEncoder:
    """The image encoder called `name`.

    Args:
      name: a key of IMAGE_VARIANTS.
      image_size: side of the images in pixels; docs/models.md tells which ones fit.
      dtype: compute type, float32 or bfloat16.

    Returns:
      A module `(images [B, s, s, num_channels], *, train) -> Features` with the properties
      num_features, the width of the global features, and num_channels, 1 or 3.

    Raises:
      ValueError: unknown name. A size that does not fit fails at the first call of the encoder.
    """
    encoder, sizes = _find(name, IMAGE_VARIANTS, "image encoder")
    return encoder(image_size=image_size, dtype=dtype, **sizes)


def make_text_encoder(
    name: str,
    *,
    vocab_size: int,
    max_length: int = 32,
    dropout: float = 0.1,
    dtype: Any = jnp.float32,
) -> TextEncoder:
    """The text encoder called `name`.

    Args:
      name: a key of TEXT_VARIANTS.
      vocab_size: number of token ids.
      max_length: longest text in tokens.
      dropout: rate in [0, 1).
      dtype: compute type, float32 or bfloat16.

    Returns:
      A module `(token_ids [B, T], token_valid [B, T], *, train) -> Features` with the property
      num_features, the width of the global features.

    Raises:
      ValueError: unknown name.
    """
    encoder, sizes = _find(name, TEXT_VARIANTS, "text encoder")
    return encoder(
        vocab_size=vocab_size, max_length=max_length, dropout=dropout, dtype=dtype, **sizes
    )


def make_fusion_encoder(name: str, *, dropout: float = 0.1, dtype: Any = jnp.float32) -> BertFusion:
    """The fusion encoder called `name`, as wide as the tokens of the text encoder before it.

    Args:
      name: a key of FUSION_VARIANTS.
      dropout: rate in [0, 1).
      dtype: compute type, float32 or bfloat16.

    Raises:
      ValueError: unknown name.
    """
    return BertFusion(
        dropout=dropout, dtype=dtype, **_find(name, FUSION_VARIANTS, "fusion encoder")
    )


def make_answer_decoder(
    name: str, *, vocab_size: int, max_length: int, dropout: float = 0.1, dtype: Any = jnp.float32
) -> AnswerDecoder:
    """The decoder of answers called `name`.

    Args:
      name: a key of DECODER_VARIANTS.
      vocab_size: number of token ids.
      max_length: positions, as many as the text encoder that it starts from.
      dropout: rate in [0, 1).
      dtype: compute type, float32 or bfloat16.

    Raises:
      ValueError: unknown name.
    """
    sizes = _find(name, DECODER_VARIANTS, "answer decoder")
    return AnswerDecoder(vocab_size, max_length=max_length, dropout=dropout, dtype=dtype, **sizes)


def make_pair_fusion(name: str, *, dropout: float = 0.1, dtype: Any = jnp.float32) -> PairFusion:
    """The fusion of texts with two images called `name`, a key of PAIR_FUSION_VARIANTS.

    Args:
      name: its width is that of the tokens of the text encoder before it.
      dropout: rate in [0, 1).
      dtype: compute type, float32 or bfloat16.

    Raises:
      ValueError: unknown name.
    """
    sizes = _find(name, PAIR_FUSION_VARIANTS, "pair fusion")
    return PairFusion(dropout=dropout, dtype=dtype, **sizes)


def _find(name: str, variants: Mapping[str, _Variant], kind: str) -> _Variant:
    if name not in variants:
        near = difflib.get_close_matches(name, variants, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else "."
        raise ValueError(f"unknown {kind} {name!r}; wanted one of {', '.join(variants)}{hint}")
    return variants[name]
