"""Initial values of the release: plain uniform draws (`model.py` of the AMDIM release)."""

import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp
from flax.typing import Initializer
from jax.typing import DTypeLike


def uniform(bound: float) -> Initializer:
    """The initializer U[-bound, bound)."""

    def init(key: jax.Array, shape: Sequence[int], dtype: DTypeLike = jnp.float32) -> jax.Array:
        return jax.random.uniform(key, shape, dtype, -bound, bound)

    return init


def uniform_fan_in(
    key: jax.Array, shape: Sequence[int], dtype: DTypeLike = jnp.float32
) -> jax.Array:
    """U[-b, b) with b = 1 / sqrt(fan_in), for a kernel `[..., in, out]`."""
    return uniform(1.0 / math.sqrt(math.prod(shape[:-1])))(key, shape, dtype)


def near_identity(
    key: jax.Array, shape: Sequence[int], dtype: DTypeLike = jnp.float32
) -> jax.Array:
    """Kernel `[in, out]`: U[-0.01, 0.01), ones on the diagonal; fan-in uniform if out < in."""
    inputs, outputs = shape
    if outputs < inputs:
        return uniform_fan_in(key, shape, dtype)
    off_diagonal = uniform(0.01)(key, shape, dtype)
    return jnp.where(jnp.eye(inputs, outputs, dtype=bool), jnp.ones((), dtype), off_diagonal)
