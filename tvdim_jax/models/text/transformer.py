"""Small pre-LN transformer for captions."""

import math
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from tvdim_jax.features import Features
from tvdim_jax.models.initializers import uniform, uniform_fan_in

_embedding_init = uniform(0.02 * math.sqrt(3.0))  # standard deviation 0.02, as BERT's


class TransformerBlock(nn.Module):
    """x + attention(norm(x)), then x + mlp(norm(x)); the MLP is 4 times as wide, with GELU."""

    num_heads: int
    dtype: Any

    @nn.compact
    def __call__(self, x: jax.Array, mask: jax.Array, dropout: jax.Array) -> jax.Array:
        """One block.

        Args:
          x: `[B, T, width]`.
          mask: bool `[B, 1, T, T]`, True = may attend.
          dropout: factors of the two branches, broadcastable to `[2, B, T, width]`.

        Returns:
          `[B, T, width]`.
        """
        width = x.shape[-1]
        y = nn.LayerNorm(dtype=self.dtype, name="norm_1")(x)
        y = nn.MultiHeadDotProductAttention(
            self.num_heads,
            dtype=self.dtype,
            kernel_init=uniform_fan_in,
            force_fp32_for_softmax=True,
            name="attention",
        )(y, mask=mask)
        x = x + dropout[0] * y
        y = nn.LayerNorm(dtype=self.dtype, name="norm_2")(x)
        y = nn.Dense(4 * width, dtype=self.dtype, kernel_init=uniform_fan_in, name="dense_1")(y)
        y = nn.Dense(width, dtype=self.dtype, kernel_init=uniform_fan_in, name="dense_2")(
            nn.gelu(y, approximate=False)
        )
        return x + dropout[1] * y


class TextTransformer(nn.Module):
    """Token ids -> a sentence vector, that of the first token ([CLS]), and token vectors.

    Attributes:
      vocab_size: number of token ids.
      width: width of every layer; a multiple of num_heads.
      depth: number of blocks.
      num_heads: attention heads.
      max_length: number of learned positions, the longest text in tokens.
      dropout: rate in [0, 1), of the embeddings and of each residual branch, when training.
      dtype: compute type, float32 or bfloat16. Parameters, softmax and the returned features are
        float32.
    """

    vocab_size: int
    width: int = 256
    depth: int = 4
    num_heads: int = 4
    max_length: int = 32
    dropout: float = 0.1
    dtype: Any = jnp.float32

    @property
    def num_features(self) -> int:
        """D, the width of the global features."""
        return self.width

    @nn.compact
    def __call__(self, token_ids: jax.Array, token_valid: jax.Array, *, train: bool) -> Features:
        """Encodes a batch of texts.

        Args:
          token_ids: int32 `[B, T]` in [0, vocab_size), T <= max_length.
          token_valid: bool `[B, T]`, True = a real token. Nothing attends to the others, so their
            ids do not matter. A text without any real token gives finite features.
          train: True applies dropout and needs the RNG stream "dropout".

        Returns:
          Features: global `[B, width]`, the first token; local `{"tokens": [B, T, width]}`;
          float32, after the final layer norm.

        Raises:
          ValueError: T > max_length, unequal shapes, or width not a multiple of num_heads.
        """
        _check(self, token_ids, token_valid)
        batch, length = token_ids.shape
        tokens = nn.Embed(
            self.vocab_size,
            self.width,
            dtype=self.dtype,
            embedding_init=_embedding_init,
            name="tokens",
        )(token_ids)
        positions = self.param("positions", _embedding_init, (self.max_length, self.width))
        x = tokens + positions[None, :length].astype(self.dtype)
        dropout = self._dropout_factors(batch, length, train=train)
        x = x * dropout[0]
        mask = nn.make_attention_mask(jnp.ones_like(token_valid), token_valid, dtype=jnp.bool_)
        for i in range(self.depth):
            block = TransformerBlock(self.num_heads, self.dtype, name=f"block_{i}")
            x = block(x, mask, dropout[2 * i + 1 : 2 * i + 3])
        x = nn.LayerNorm(dtype=jnp.float32, name="norm")(x)
        return Features(global_features=x[:, 0], local_features={"tokens": x})

    def _dropout_factors(self, batch: int, length: int, *, train: bool) -> jax.Array:
        """0 or 1 / (1 - rate), `[2 depth + 1, B, T, width]`; `[2 depth + 1, 1, 1, 1]` ones without.

        One draw for all layers: XLA compiles every threefry draw anew, 0.3 s each on a CPU.
        """
        places = 2 * self.depth + 1
        if not train or self.dropout == 0.0:
            return jnp.ones((places, 1, 1, 1), self.dtype)
        keep = 1.0 - self.dropout
        shape = (places, batch, length, self.width)
        kept = jax.random.bernoulli(self.make_rng("dropout"), keep, shape)
        return (kept / keep).astype(self.dtype)


def _check(encoder: TextTransformer, token_ids: jax.Array, token_valid: jax.Array) -> None:
    if encoder.width % encoder.num_heads:
        raise ValueError(
            f"TextTransformer: width is {encoder.width}; wanted a multiple of num_heads = "
            f"{encoder.num_heads}. Change one of them."
        )
    if token_ids.ndim != 2 or token_ids.shape != token_valid.shape:
        raise ValueError(
            f"TextTransformer: token_ids have shape {token_ids.shape}, token_valid "
            f"{token_valid.shape}; wanted [B, T] for both."
        )
    if token_ids.shape[1] > encoder.max_length:
        raise ValueError(
            f"TextTransformer: texts of {token_ids.shape[1]} tokens; wanted at most max_length = "
            f"{encoder.max_length}. Truncate when tokenising or raise max_length."
        )
