"""BERT (arXiv 1810.04805) as text encoder, as fusion encoder of ALBEF, and its word predictor.

ALBEF (arXiv 2107.07651) cuts one BERT in two: the first six layers read the text (`BertEncoder` of
depth 6, without pooler), the last six fuse it with an image (`BertFusion` of depth 6).
"""

from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from tvdim_jax.features import Features
from tvdim_jax.models.text.bert_layers import bert_embeddings, bert_layers, dense, layer_norm


class BertEncoder(nn.Module):
    """Token ids -> a text vector and token vectors, by the first `depth` layers of a BERT.

    Attributes:
      vocab_size: number of token ids.
      width: width of every layer; a multiple of num_heads.
      depth: number of layers.
      num_heads: attention heads.
      mlp_width: width inside the MLPs.
      max_length: number of learned positions, the longest text in tokens.
      pooler: True takes tanh(dense([CLS])) as the text vector, False the state of [CLS].
      dropout: rate in [0, 1), when training, of the embeddings, the attention weights, the output
        of each branch, and the pooled vector.
      dtype: compute type, float32 or bfloat16. Parameters, softmax, norms and the returned
        features are float32.
    """

    vocab_size: int
    width: int = 768
    depth: int = 12
    num_heads: int = 12
    mlp_width: int = 3072
    max_length: int = 512
    pooler: bool = True
    dropout: float = 0.1
    dtype: Any = jnp.float32

    @property
    def num_features(self) -> int:
        """D, the width of the global features."""
        return self.width

    @nn.compact
    def __call__(self, token_ids: jax.Array, token_valid: jax.Array, *, train: bool) -> Features:
        """Encodes texts.

        Args:
          token_ids: int32 `[B, T]`, or `[..., T]`, in [0, vocab_size); 1 <= T <= max_length.
          token_valid: bool of the same shape, True = a real token. Nothing attends to the others,
            so their ids do not matter. A text without any real token gives finite features.
          train: True applies dropout and needs the RNG stream "dropout".

        Returns:
          Features: global `[B, width]`; local `{"tokens": [B, T, width]}`, the states of the last
          layer; float32. Further leading axes are kept.

        Raises:
          ValueError: T > max_length, unequal shapes, or width not a multiple of num_heads.
        """
        check_texts("BertEncoder", token_ids, token_valid, self.max_length)
        check_heads("BertEncoder", self.width, self.num_heads)
        x, _ = bert_embeddings(self, token_ids, train=train)
        x, _ = bert_layers(
            self.depth,
            num_heads=self.num_heads,
            mlp_width=self.mlp_width,
            dropout=self.dropout,
            train=train,
            dtype=self.dtype,
        )(x, token_valid, None, None)
        if not self.pooler:
            return Features(x[..., 0, :], {"tokens": x})
        pooled = nn.tanh(dense(self.width, jnp.float32, "pooler", width=self.width)(x[..., 0, :]))
        pooled = nn.Dropout(self.dropout, deterministic=not train)(pooled)
        return Features(pooled, {"tokens": x})


class BertFusion(nn.Module):
    """Token vectors -> token vectors that have seen the features of an image.

    Attributes:
      depth: number of layers, each with cross-attention.
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
        other: jax.Array,
        other_valid: jax.Array,
        *,
        train: bool,
    ) -> Features:
        """Fuses texts with the features of as many images.

        Args:
          tokens: `[B, T, D]`, local features of the text encoder.
          token_valid: bool `[B, T]`, True = a real token; nothing attends to the others.
          other: `[B, K, D_other]`, features of image regions, the same width for all images.
          other_valid: bool `[B, K]`, True = a region to attend to. An image without any gives
            finite features.
          train: True applies dropout and needs the RNG stream "dropout".

        Returns:
          Features: global `[B, D]`, the state of the first token ([CLS]); local
          `{"tokens": [B, T, D]}`; float32.

        Raises:
          ValueError: unequal shapes, or D not a multiple of num_heads.
        """
        _check_pairs(tokens, token_valid, other, other_valid)
        check_heads("BertFusion", tokens.shape[-1], self.num_heads)
        x, _ = bert_layers(
            self.depth,
            num_heads=self.num_heads,
            mlp_width=self.mlp_width,
            dropout=self.dropout,
            train=train,
            dtype=self.dtype,
        )(tokens.astype(jnp.float32), token_valid, other, other_valid)
        return Features(x[..., 0, :], {"tokens": x})


class WordPredictor(nn.Module):
    """BERT's head for masked language: token vectors -> logits over the vocabulary.

    `logits = norm(gelu(dense(x))) embedding^T + bias`, with the word embedding of the text encoder.

    Attributes:
      dtype: compute type, float32 or bfloat16; the norm and the returned logits are float32.
    """

    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, tokens: jax.Array, embedding: jax.Array) -> jax.Array:
        """Scores every word of the vocabulary.

        Args:
          tokens: `[..., D]`, states of the last layer at the places to predict.
          embedding: `[vocab_size, D]`, `params["tokens"]["embedding"]` of the text encoder.

        Returns:
          `[..., vocab_size]` float32.
        """
        width = tokens.shape[-1]
        x = dense(width, self.dtype, "dense", width=width)(tokens)
        x = nn.gelu(x, approximate=False)
        x = layer_norm("norm")(x).astype(self.dtype)
        bias = self.param("bias", nn.initializers.zeros, (embedding.shape[0],))
        logits = jnp.einsum(
            "...d,vd->...v", x, embedding.astype(self.dtype), preferred_element_type=jnp.float32
        )
        return logits + bias.reshape(*[1] * (logits.ndim - 1), -1)


def check_heads(module: str, width: int, num_heads: int) -> None:
    """Raises a ValueError unless `num_heads` divides `width`; `module` names who asks."""
    if width % num_heads:
        raise ValueError(
            f"{module}: width is {width}; wanted a multiple of num_heads = {num_heads}. "
            "Change one of them."
        )


def check_texts(module: str, token_ids: jax.Array, token_valid: jax.Array, max_length: int) -> None:
    """Raises a ValueError unless both are `[..., T]`, 1 <= T <= max_length, of two axes or more."""
    if token_ids.ndim < 2 or token_ids.shape != token_valid.shape:
        raise ValueError(
            f"{module}: token_ids have shape {token_ids.shape}, token_valid "
            f"{token_valid.shape}; wanted [B, T] for both. Give one mask entry per token."
        )
    if not 1 <= token_ids.shape[-1] <= max_length:
        raise ValueError(
            f"{module}: texts of {token_ids.shape[-1]} tokens; wanted 1 to max_length = "
            f"{max_length}. Truncate when tokenising or raise max_length."
        )


def _check_pairs(
    tokens: jax.Array, token_valid: jax.Array, other: jax.Array, other_valid: jax.Array
) -> None:
    shapes = [x.shape for x in (tokens, token_valid, other, other_valid)]
    lengths_fit = shapes[0][:-1] == shapes[1] and shapes[2][:-1] == shapes[3]
    if not (lengths_fit and shapes[1][:-1] == shapes[3][:-1] and len(shapes[1]) > 1):
        raise ValueError(
            f"BertFusion: tokens, token_valid, other and other_valid have shapes {shapes}; wanted "
            "[B, T, D], [B, T], [B, K, D_other] and [B, K]. Give one image per text."
        )
