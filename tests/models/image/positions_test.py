import re
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest

from tvdim_jax.models.image import resize_positions

with np.load(Path(__file__).parents[2] / "data" / "vit.npz", allow_pickle=False) as arrays:
    VECTORS = {name: arrays[name] for name in arrays if name.startswith("positions/")}


@pytest.mark.parametrize("grid_size", [4, 7, 12])
def test_grid_is_resized_as_torch_does_and_the_class_token_kept(grid_size):
    """Vectors: `torch.nn.functional.interpolate(mode="bicubic", align_corners=False)`, torch 2.13,
    float32, of 49 normal rows as a map `[1, 5, 7, 7]`; the first of 50 rows put back in front.
    """
    table = VECTORS["positions/7"]
    resized = resize_positions(jnp.asarray(table), grid_size)
    np.testing.assert_allclose(resized, VECTORS[f"positions/7_to_{grid_size}"], atol=2e-6)
    np.testing.assert_array_equal(resized[0], table[0])
    if grid_size == 7:
        np.testing.assert_array_equal(resized, table)


@pytest.mark.parametrize("grid_size", [1, 3, 8, 13])
def test_equal_rows_stay_as_they_are(grid_size):
    table = jnp.concatenate([jnp.zeros((1, 2)), jnp.full((64, 2), 3.0)])
    resized = resize_positions(table, grid_size)
    assert resized.shape == (1 + grid_size**2, 2)
    np.testing.assert_allclose(resized[1:], 3, rtol=1e-6)


@pytest.mark.parametrize("rows", [1, 9, 49])
def test_a_table_without_square_grid_is_refused(rows):
    message = f"positions have shape ({rows}, 5); wanted [1 + h * h, D], the class token"
    with pytest.raises(ValueError, match=re.escape(message)):
        resize_positions(jnp.zeros((rows, 5)), 4)
