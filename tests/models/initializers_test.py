import jax
import numpy as np

from tvdim_jax.models.initializers import near_identity, uniform, uniform_fan_in


def test_uniform_fills_its_range():
    values = np.asarray(uniform(0.5)(jax.random.key(0), (300, 400)))
    assert -0.5 <= values.min() < -0.499
    assert 0.499 < values.max() <= 0.5
    assert abs(values.mean()) < 5 * 0.5 / np.sqrt(3 * values.size)


def test_fan_in_counts_all_axes_but_the_last():
    kernel = uniform_fan_in(jax.random.key(0), (3, 3, 4, 64))
    assert 0.99 / 6 < np.abs(kernel).max() <= 1 / 6


def test_near_identity_needs_room_for_the_identity():
    wide = np.asarray(near_identity(jax.random.key(0), (3, 5)))
    np.testing.assert_array_equal(np.diagonal(wide), 1.0)
    assert np.abs(wide - np.eye(3, 5)).max() <= 0.01
    narrow = np.asarray(near_identity(jax.random.key(0), (5, 3)))
    assert np.abs(narrow).max() <= 1 / np.sqrt(5)
