"""How likely a decoder finds whole texts."""

import jax
import jax.numpy as jnp


def sequence_log_likelihood(
    logits: jax.Array, token_ids: jax.Array, token_valid: jax.Array
) -> jax.Array:
    """Log-likelihood of texts whose first token is given.

        sum_{t = 1 .. L - 1, t valid} log softmax(logits_{t - 1})[token_t]

    Args:
      logits: `[..., L, C]`, any float, reduced in float32 (float64 stays); at place t those of the
        token at place t + 1, the last ones unused.
      token_ids: int `[..., L]` in [0, C), the first being the start, such as [CLS].
      token_valid: bool `[..., L]`, True = a real token; the logits of the others may be NaN.

    Returns:
      `[...]`, nats, <= 0; 0 without a gradient for a text of the start alone.
    """
    where = token_valid[..., 1:]
    logits = logits[..., :-1, :].astype(jnp.promote_types(logits.dtype, jnp.float32))
    # Zeros where nothing counts, lest a NaN there pass a gradient.
    log_probs = jax.nn.log_softmax(jnp.where(where[..., None], logits, 0))
    found = jnp.take_along_axis(log_probs, token_ids[..., 1:, None], axis=-1)[..., 0]
    return jnp.sum(jnp.where(where, found, 0), axis=-1)
