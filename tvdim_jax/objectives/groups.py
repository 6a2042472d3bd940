"""Fixed groups of a global batch, within which hard negatives are drawn, and rows side by side."""

import jax
import jax.numpy as jnp


def of_groups(values: jax.Array, places: jax.Array) -> jax.Array:
    """Of values `[B, ...]` those at places int `[G, n]` of their own groups of n, `[B, ...]`."""
    grouped = values.reshape(*places.shape, *values.shape[1:])
    return jax.vmap(lambda group, place: group[place])(grouped, places).reshape(values.shape)


def interleave(*parts: jax.Array) -> jax.Array:
    """Arrays `[B, ...]` -> `[B * len(parts), ...]`, row by row: none leaves its device."""
    return jnp.stack(parts, axis=1).reshape(-1, *parts[0].shape[1:])


def checked_group(num: int, group_size: int) -> int:
    """Rows of a group of a batch of `num`: a smaller batch is one group.

    Raises:
      ValueError: the batch is no multiple of group_size.
    """
    size = min(num, group_size)
    if size < 1 or num % size:
        raise ValueError(
            f"group_size: got {group_size} for a batch of {num}, wanted at least 1 and a divisor "
            "of the batch, as negatives are drawn within groups; change one of them"
        )
    return size
