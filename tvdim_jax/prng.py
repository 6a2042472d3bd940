"""Randomness has a name and a step: keys are folded from the root, never split in passing."""

import zlib

import jax


def named_key(key: jax.Array, name: str) -> jax.Array:
    """The stream `name` of `key`: equal on every process, device count and JAX version.

    Args:
      key: typed PRNG key, scalar.
      name: the consumer, such as "augment" or "text_dropout".

    Returns:
      A typed PRNG key, scalar.
    """
    return jax.random.fold_in(key, zlib.crc32(name.encode()))


def step_key(root: jax.Array, step: jax.Array | int) -> jax.Array:
    """The key of update `step` (updates done so far), from the root key of the run."""
    return jax.random.fold_in(root, step)
