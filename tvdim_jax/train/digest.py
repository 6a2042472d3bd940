"""A digest of every array of a state: of its bits alone, so it does not depend on the sharding.

It is taken on the host: a program that hashes every leaf on the device takes longer to compile
than a checkpoint to write.
"""

import hashlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np


def leaf_digests(tree: Any) -> dict[str, str]:
    """Digest of each leaf by its path, such as `params/image/stem`.

    Args:
      tree: arrays that this process holds whole, typed PRNG keys included.

    Returns:
      Path -> 16 hexadecimal digits, of type, shape and bits.
    """
    return {path: _leaf_digest(leaf) for path, leaf in named_leaves(tree)}


def named_leaves(tree: Any) -> list[tuple[str, Any]]:
    """Leaves with their paths, such as `params/image/stem`; dicts and dataclasses read alike."""
    return [
        (jax.tree_util.keystr(path, simple=True, separator="/"), leaf)
        for path, leaf in jax.tree_util.tree_leaves_with_path(tree)
    ]


def tree_digest(tree: Any) -> str:
    """One hexadecimal word for the paths and bits of the whole tree, equal on any sharding."""
    return _hex("".join(f"{path}={word};" for path, word in leaf_digests(tree).items()).encode())


def _leaf_digest(leaf: jax.Array) -> str:
    if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        leaf = jax.random.key_data(leaf)
    array = np.asarray(leaf)
    return _hex(f"{array.dtype}{leaf.shape}".encode() + array.tobytes())


def _hex(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]
