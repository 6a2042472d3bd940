"""Cross-entropies of class logits: one label a row, or several that may be unknown."""

import jax
import jax.numpy as jnp


def softmax_cross_entropy_loss(
    logits: jax.Array, labels: jax.Array, *, where: jax.Array | None = None
) -> jax.Array:
    """Cross-entropy of one label a row.

        loss = mean over rows of  logsumexp_c z_c - z_label

    Args:
      logits: z, `[..., C]`.
      labels: int `[...]` in [0, C); any value where the row does not count.
      where: bool `[...]`, True = the row counts; None = all do.

    Returns:
      Scalar in nats, float32 at least, 0 or more; 0 with gradient 0 if no row counts.
    """
    known = jnp.ones(labels.shape, bool) if where is None else where
    logits = _safe(logits, known[..., None])
    own = jnp.take_along_axis(logits, jnp.where(known, labels, 0)[..., None], axis=-1)[..., 0]
    return _mean(jax.nn.logsumexp(logits, axis=-1) - own, known)


def sigmoid_cross_entropy_loss(
    logits: jax.Array, labels: jax.Array, *, where: jax.Array | None = None
) -> jax.Array:
    """Binary cross-entropies of several labels a row, each for itself.

        loss = mean over known entries of  softplus(z) - y z

    Args:
      logits: z, `[..., C]`.
      labels: y, bool `[..., C]`; any value where it is unknown.
      where: bool `[..., C]`, True = the label is known; None = all are.

    Returns:
      Scalar in nats, float32 at least, 0 or more; 0 with gradient 0 if no label is known. Classes
      weigh by how often they are known.
    """
    known = jnp.ones(labels.shape, bool) if where is None else where
    logits = _safe(logits, known)
    return _mean(jax.nn.softplus(logits) - labels.astype(logits.dtype) * logits, known)


def _safe(logits: jax.Array, where: jax.Array) -> jax.Array:
    """In float32 at least, and 0 where nothing counts, lest a NaN there pass a gradient."""
    logits = logits.astype(jnp.promote_types(logits.dtype, jnp.float32))
    return jnp.where(where, logits, 0)


def _mean(values: jax.Array, where: jax.Array) -> jax.Array:
    total = jnp.sum(jnp.where(where, values, 0))
    return total / jnp.maximum(jnp.sum(where), 1).astype(values.dtype)
