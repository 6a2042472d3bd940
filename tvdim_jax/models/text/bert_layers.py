"""The layers of BERT (arXiv 1810.04805), with cross-attention as ALBEF adds it (arXiv 2107.07651).

The layers are post-LN: `norm(x + branch(x))`. Matmuls run in the compute type; scores, softmax,
norms and the sums between layers are float32.
"""

import math
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

_NUM_TYPES = 2  # BERT tells two sentences apart; here every token is of the first type

_STANDARD_DEVIATION, _BASE_WIDTH = 0.02, 768  # of BERT-base

bert_init = nn.initializers.normal(_STANDARD_DEVIATION)


def dense(features: int, dtype: Any, name: str, *, width: int) -> nn.Dense:
    """A dense layer of a net of this width, bias 0; from 768 on N(0, 0.02), as BERT starts.

    In narrower nets a layer that reads `width` numbers starts with the gain that it has in
    BERT-base: from N(0, 0.02) it would pass on next to nothing at width 64, and of gradients less.
    """
    deviation = _STANDARD_DEVIATION * math.sqrt(_BASE_WIDTH / min(width, _BASE_WIDTH))
    return nn.Dense(features, dtype=dtype, kernel_init=nn.initializers.normal(deviation), name=name)


def layer_norm(name: str) -> nn.LayerNorm:
    """BERT's layer norm: eps 1e-12; float32 in two passes, since so small an eps hides no error."""
    return nn.LayerNorm(epsilon=1e-12, dtype=jnp.float32, use_fast_variance=False, name=name)


class BertAttention(nn.Module):
    """Multi-head attention of one sequence to another, or to itself.

    Attributes:
      num_heads: a divisor of the width.
      dropout: rate in [0, 1) of the attention weights.
      train: True applies the dropout.
      dtype: compute type of the matmuls.
      causal: True lets place t of x attend to the places 0 to t of other alone.
    """

    num_heads: int
    dropout: float
    train: bool
    dtype: Any
    causal: bool = False

    @nn.compact
    def __call__(
        self,
        x: jax.Array,
        other: jax.Array,
        other_valid: jax.Array,
        key_value: tuple[nn.Module, nn.Module] | None = None,
    ) -> jax.Array:
        """Attends from x to other.

        Args:
          x: `[..., T, width]`, the queries.
          other: `[..., K, D]`, keys and values.
          other_valid: bool `[..., K]`, True = may be attended to. A row without any gets the mean
            of all values.
          key_value: projections to `width` that make the keys and the values; None has its own.

        Returns:
          `[..., T, width]` in the compute type.
        """
        width = x.shape[-1]
        heads = (self.num_heads, width // self.num_heads)

        def project(source: jax.Array, name: str, shared: Any = None) -> jax.Array:
            projection = shared or dense(width, self.dtype, name, width=width)
            projected: jax.Array = projection(source)
            return projected.reshape(*source.shape[:-1], *heads)

        shared_key, shared_value = key_value or (None, None)
        query = project(x, "query")
        key, value = project(other, "key", shared_key), project(other, "value", shared_value)
        scores = jnp.einsum(
            "...qhd,...khd->...hqk", query, key, preferred_element_type=jnp.float32
        ) / math.sqrt(heads[1])
        # A finite number instead of -inf: a row of them still has a softmax, and a gradient of 0.
        lowest = jnp.finfo(jnp.float32).min
        allowed = other_valid[..., None, None, :]
        if self.causal:
            past = jnp.tril(jnp.ones(scores.shape[-2:], bool))
            allowed &= past.reshape(*[1] * (allowed.ndim - 2), *past.shape)
        weights = nn.softmax(jnp.where(allowed, scores, lowest))
        weights = nn.Dropout(self.dropout, deterministic=not self.train)(weights)
        mixed = jnp.einsum("...hqk,...khd->...qhd", weights.astype(self.dtype), value)
        return dense(width, self.dtype, "out", width=width)(mixed.reshape(x.shape))


class BertLayer(nn.Module):
    """Self-attention, cross-attention to other features if given, and the MLP.

    Attributes:
      num_heads: attention heads, a divisor of the width.
      mlp_width: width inside the MLP.
      dropout: rate in [0, 1) of the attention weights and of each branch's output.
      train: True applies the dropout.
      dtype: compute type of the matmuls.
      causal: True lets a place attend to itself and those before it alone.
    """

    num_heads: int
    mlp_width: int
    dropout: float
    train: bool
    dtype: Any
    causal: bool = False

    @nn.compact
    def __call__(
        self,
        x: jax.Array,
        valid: jax.Array,
        other: jax.Array | None,
        other_valid: jax.Array | None,
        key_value: tuple[nn.Module, nn.Module] | None = None,
    ) -> tuple[jax.Array, None]:
        """One layer, in the form that `nn.scan` wants.

        Args:
          x: `[..., T, width]` float32.
          valid: bool `[..., T]`, True = may be attended to.
          other: `[..., K, D]`, what the cross-attention attends to; None leaves it out.
          other_valid: bool `[..., K]`; None with other.
          key_value: see BertAttention, of the cross-attention.

        Returns:
          `[..., T, width]` float32, and None.
        """
        options = (self.num_heads, self.dropout, self.train, self.dtype)
        y = BertAttention(*options, self.causal, name="attention")(x, x, valid)
        x = layer_norm("attention_norm")(x + self._drop(y))
        if other is not None and other_valid is not None:
            attention = BertAttention(*options, name="cross_attention")
            y = attention(x, other, other_valid, key_value)
            x = layer_norm("cross_attention_norm")(x + self._drop(y))
        width = x.shape[-1]
        y = dense(self.mlp_width, self.dtype, "dense_1", width=width)(x)
        y = dense(width, self.dtype, "dense_2", width=width)(nn.gelu(y, approximate=False))
        return layer_norm("mlp_norm")(x + self._drop(y)), None

    def _drop(self, y: jax.Array) -> jax.Array:
        return nn.Dropout(self.dropout, deterministic=not self.train)(y)


def bert_embeddings(module: Any, token_ids: jax.Array, *, train: bool) -> tuple[Any, Any]:
    """BERT's input: words, places and the first of two types, added, normed and dropped out.

    Args:
      module: in whose compact call this runs, with vocab_size, width, max_length and dropout. Its
        parameters are "tokens", "positions", "types" and "norm".
      token_ids: int32 `[..., T]`.
      train: True applies the dropout.

    Returns:
      `[..., T, width]` float32, and the `nn.Embed` of the words.
    """
    words = nn.Embed(module.vocab_size, module.width, embedding_init=bert_init, name="tokens")
    positions = module.param("positions", bert_init, (module.max_length, module.width))
    types = module.param("types", bert_init, (_NUM_TYPES, module.width))
    places = (types[:1] + positions[: token_ids.shape[-1]]).reshape(
        *[1] * (token_ids.ndim - 1), -1, module.width
    )
    x = layer_norm("norm")(words(token_ids) + places)
    return nn.Dropout(module.dropout, deterministic=not train)(x), words


def bert_layers(depth: int, layer: Any = BertLayer, **options: Any) -> nn.Module:
    """`depth` layers, one after the other, called "layers".

    Every parameter holds the layers along a new first axis: `kernel [depth, in, out]`. So XLA
    compiles one layer instead of twelve.

    Args:
      depth: number of layers.
      layer: the module of one of them, called as BertLayer is.
      **options: of the layer.

    Returns:
      A module with the arguments and results of the layer.
    """
    layers = nn.scan(
        layer,
        variable_axes={"params": 0, "intermediates": 0},
        split_rngs={"params": True, "dropout": True},
        in_axes=nn.broadcast,
        length=depth,
    )
    module: nn.Module = layers(**options, name="layers")
    return module
