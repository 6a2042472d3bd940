"""Position embeddings of a ViT for another image size."""

import jax
import jax.numpy as jnp
import numpy as np

_A = -0.75  # sharpness of the cubic: torch's choice; jax.image.resize has -0.5


def resize_positions(positions: jax.Array, grid_size: int) -> jax.Array:
    """Position embeddings for another patch grid, as ALBEF and DeiT make them.

    The class token's row is kept. The others, a square grid, are resized by cubic convolution
    (Keys 1981) with a = -0.75, half-pixel centres, the border repeated and no antialiasing:
    torch's `interpolate(mode="bicubic", align_corners=False)`. `jax.image.resize` differs in all of
    a, border and antialiasing.

    Args:
      positions: `[1 + h * h, D]`, the class token first, then the grid in rows.
      grid_size: side g of the new grid, patches.

    Returns:
      `[1 + g * g, D]`; the same values where g = h.

    Raises:
      ValueError: the rows but the first make no square.
    """
    old_size = round((len(positions) - 1) ** 0.5)
    if len(positions) < 2 or old_size**2 != len(positions) - 1:
        raise ValueError(
            f"resize_positions: positions have shape {positions.shape}; wanted [1 + h * h, D], "
            "the class token and a square grid. Give the table of a ViT with one class token."
        )
    weights = jnp.asarray(_cubic_weights(old_size, grid_size), positions.dtype)
    grid = positions[1:].reshape(old_size, old_size, -1)
    # HIGHEST: the table is made once, and the default would multiply in TF32 on a GPU.
    resized = jnp.einsum("ih,jw,hwd->ijd", weights, weights, grid, precision="highest")
    return jnp.concatenate([positions[:1], resized.reshape(grid_size**2, -1)])


def _cubic_weights(old_size: int, new_size: int) -> np.ndarray:
    """`[new_size, old_size]`: what each old row gives to each new one; rows sum to 1."""
    centres = (np.arange(new_size) + 0.5) * old_size / new_size - 0.5
    weights = np.zeros((new_size, old_size))
    for tap in range(-1, 3):
        rows = np.floor(centres) + tap
        distance = np.abs(centres - rows)
        near = ((_A + 2) * distance - (_A + 3)) * distance**2 + 1
        far = _A * (((distance - 5) * distance + 8) * distance - 4)
        columns = np.clip(rows, 0, old_size - 1).astype(int)
        weights[np.arange(new_size), columns] += np.where(distance <= 1, near, far)
    return weights
