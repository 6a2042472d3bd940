"""A digest of every array of a state: order-free, so it does not depend on the sharding."""

import hashlib
from typing import Any

import jax
import jax.numpy as jnp


@jax.jit
def _digest(tree: Any) -> Any:
    """Per leaf, sum of mix(word_i + i * c) modulo 2^32 over its words.

    `mix` is the final mixing of MurmurHash3, one-to-one on 32-bit words: whatever happens to one
    word changes the sum, and damage to several cancels with a chance of 2^-32 only. Without it
    two flipped signs would cancel always.
    """

    def leaf_digest(leaf: jax.Array) -> jax.Array:
        if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            leaf = jax.random.key_data(leaf)
        if leaf.dtype == jnp.bool_:
            leaf = leaf.astype(jnp.uint8)
        word = {1: jnp.uint8, 2: jnp.uint16}.get(leaf.dtype.itemsize, jnp.uint32)
        words = jax.lax.bitcast_convert_type(leaf, word).reshape(-1).astype(jnp.uint32)
        mixed = words + jax.lax.iota(jnp.uint32, words.size) * jnp.uint32(0x9E3779B9)
        mixed = (mixed ^ (mixed >> 16)) * jnp.uint32(0x85EBCA6B)
        mixed = (mixed ^ (mixed >> 13)) * jnp.uint32(0xC2B2AE35)
        return jnp.sum(mixed ^ (mixed >> 16), dtype=jnp.uint32)

    return jax.tree.map(leaf_digest, tree)


def leaf_digests(tree: Any) -> dict[str, int]:
    """Digest of each leaf by its path, such as `params/image/stem`.

    Args:
      tree: arrays of real numbers or bools, typed PRNG keys included.

    Returns:
      Path -> integer below 2^32.
    """
    digests = jax.device_get(_digest(tree))
    return {path: int(value) for path, value in named_leaves(digests)}


def named_leaves(tree: Any) -> list[tuple[str, Any]]:
    """Leaves with their paths, such as `params/image/stem`; dicts and dataclasses read alike."""
    return [
        (jax.tree_util.keystr(path, simple=True, separator="/"), leaf)
        for path, leaf in jax.tree_util.tree_leaves_with_path(tree)
    ]


def tree_digest(tree: Any) -> str:
    """One hexadecimal word for the paths and bits of the whole tree, equal on any sharding."""
    text = "".join(f"{path}={value};" for path, value in leaf_digests(tree).items())
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()
