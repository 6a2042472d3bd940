"""Initial values: plain uniform draws (amdim_tvdim.md section 1.3) that compile fast.

The draws come from a hash of (key, position), not from `jax.random.uniform`: XLA compiles threefry
anew for every distinct shape, which made the initialisation of a small AMDIM the longest compile
of a run on a CPU (2.6 s of 2 cores; 0.7 s with the hash). The values depend on nothing but the key
and the shape: the same on every backend, process and device count.
"""

import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp
from flax.typing import Initializer


def uniform(bound: float) -> Initializer:
    """The initializer U[-bound, bound)."""

    def init(key: jax.Array, shape: Sequence[int], dtype: jnp.dtype = jnp.float32) -> jax.Array:
        words = jax.random.key_data(key)
        position = jax.lax.iota(jnp.uint32, math.prod(shape)).reshape(shape)
        bits = _mix(_mix(position ^ words[0]) ^ words[-1])
        unit = (bits >> 8).astype(jnp.float32) * 2.0**-24  # 24 bits: exact in float32
        return (bound * (2.0 * unit - 1.0)).astype(dtype)

    return init


def uniform_fan_in(
    key: jax.Array, shape: Sequence[int], dtype: jnp.dtype = jnp.float32
) -> jax.Array:
    """U[-b, b) with b = 1 / sqrt(fan_in), for a kernel `[..., in, out]`."""
    return uniform(1.0 / math.sqrt(math.prod(shape[:-1])))(key, shape, dtype)


def near_identity(
    key: jax.Array, shape: Sequence[int], dtype: jnp.dtype = jnp.float32
) -> jax.Array:
    """Kernel `[in, out]`: U[-0.01, 0.01), ones on the diagonal; fan-in uniform if out < in."""
    inputs, outputs = shape
    if outputs < inputs:
        return uniform_fan_in(key, shape, dtype)
    off_diagonal = uniform(0.01)(key, shape, dtype)
    return jnp.where(jnp.eye(inputs, outputs, dtype=bool), jnp.ones((), dtype), off_diagonal)


def _mix(bits: jax.Array) -> jax.Array:
    """The 32-bit finaliser of MurmurHash3: a bijection, each input bit flips half the output."""
    bits = (bits ^ (bits >> 16)) * jnp.uint32(0x85EBCA6B)
    bits = (bits ^ (bits >> 13)) * jnp.uint32(0xC2B2AE35)
    return bits ^ (bits >> 16)
