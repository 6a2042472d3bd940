"""The fusion of a sentence with two images, as in ALBEF's NLVR2."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from tvdim_jax.features import Features
from tvdim_jax.models.text.bert import check_heads
from tvdim_jax.models.text.bert_layers import BertLayer, bert_layers, dense


class PairFusion(nn.Module):
    """Token vectors -> token vectors that have seen two images, by twice as many layers as blocks.

    A block is two layers, the first of which attends to the first image and the second to the
    second; the projections to keys and values of its two cross-attentions are the same.

    Attributes:
      depth: number of blocks.
      num_heads: attention heads, a divisor of the width of the token vectors.
      mlp_width: width inside the MLPs.
      dropout: rate in [0, 1), when training, of the attention weights and of each branch's output.
      dtype: compute type, float32 or bfloat16. Parameters, softmax, norms and the returned
        features are float32.
    """

    depth: int = 6
    num_heads: int = 12
    mlp_width: int = 3072
    dropout: float = 0.1
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self,
        tokens: jax.Array,
        token_valid: jax.Array,
        images: jax.Array,
        image_valid: jax.Array,
        *,
        train: bool,
    ) -> Features:
        """Fuses each text with its two images.

        Args:
          tokens: `[B, T, D]`, local features of the text encoder.
          token_valid: bool `[B, T]`, True = a real token; nothing attends to the others.
          images: `[B, 2, K, D_image]`, features of the regions of both images.
          image_valid: bool `[B, 2, K]`, True = a region to attend to.
          train: True applies dropout and needs the RNG stream "dropout".

        Returns:
          Features: global `[B, D]`, the state of the first token ([CLS]); local
          `{"tokens": [B, T, D]}`; float32.

        Raises:
          ValueError: unequal shapes, or D not a multiple of num_heads.

        Source: Li et al. 2021 (arXiv 2107.07651), section 5.
        """
        shapes = [each.shape for each in (tokens, token_valid, images, image_valid)]
        pairs = shapes[2][:-1] == shapes[3] and shapes[3][:2] == (len(tokens), 2)
        if shapes[0][:-1] != shapes[1] or not pairs:
            raise ValueError(
                f"PairFusion: tokens, token_valid, images and image_valid have shapes {shapes}; "
                "wanted [B, T, D], [B, T], [B, 2, K, D_image] and [B, 2, K]. Give two images per "
                "text."
            )
        check_heads("PairFusion", tokens.shape[-1], self.num_heads)
        x, _ = bert_layers(
            self.depth,
            _PairBlock,
            num_heads=self.num_heads,
            mlp_width=self.mlp_width,
            dropout=self.dropout,
            train=train,
            dtype=self.dtype,
        )(tokens.astype(jnp.float32), token_valid, images, image_valid)
        return Features(x[..., 0, :], {"tokens": x})


class _PairBlock(nn.Module):
    """Two layers with common keys and values, in the form that `nn.scan` wants."""

    num_heads: int
    mlp_width: int
    dropout: float
    train: bool
    dtype: Any

    @nn.compact
    def __call__(
        self, x: jax.Array, valid: jax.Array, images: jax.Array, image_valid: jax.Array
    ) -> tuple[jax.Array, None]:
        width = x.shape[-1]
        key_value = (
            dense(width, self.dtype, "key", width=width),
            dense(width, self.dtype, "value", width=width),
        )
        options = (self.num_heads, self.mlp_width, self.dropout, self.train, self.dtype)
        for side, name in enumerate(("first", "second")):
            layer = BertLayer(*options, name=name)
            x, _ = layer(x, valid, images[:, side], image_valid[:, side], key_value)
        return x, None


class PairHead(nn.Module):
    """Whether the sentence is true of the pair: dense, ReLU, and two logits.

    Attributes:
      num_classes: C.
      dtype: compute type; the returned logits are float32.
    """

    num_classes: int = 2
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """The logits `[B, C]` float32 of global features `[B, D]`."""
        width = x.shape[-1]
        x = nn.relu(dense(width, self.dtype, "dense_1", width=width)(x))
        logits = dense(self.num_classes, self.dtype, "dense_2", width=width)(x)
        return logits.astype(jnp.float32)


def pair_fusion_params(fusion: Mapping[str, Any]) -> dict[str, Any]:
    """First parameters of a `PairFusion`: each layer of a `BertFusion` twice.

    Args:
      fusion: of a `BertFusion` of as many layers as there are blocks.

    Returns:
      The tree of the pair fusion, of the same arrays.
    """
    layers = fusion["layers"]
    cross = layers["cross_attention"]
    own = {name: cross[name] for name in ("query", "out")}
    layer = {**layers, "cross_attention": own}
    common = {name: cross[name] for name in ("key", "value")}
    return {"layers": {"first": layer, "second": layer, **common}}
