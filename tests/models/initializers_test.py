import jax
import numpy as np
import pytest

from tvdim_jax.models.initializers import near_identity, uniform, uniform_fan_in


def draws(seed, shape=(300, 400)):
    return np.asarray(uniform(1.0)(jax.random.key(seed), shape))


def test_moments_and_range_are_those_of_a_uniform_draw():
    values = draws(0)
    assert -1.0 <= values.min() < -0.9999
    assert 0.9999 < values.max() < 1.0
    n = values.size
    assert abs(values.mean()) < 5 / np.sqrt(3 * n)
    np.testing.assert_allclose(values.var(), 1 / 3, rtol=5 * np.sqrt(4 / 5 / n))
    counts, _ = np.histogram(values, bins=100, range=(-1, 1))
    chi_square = ((counts - n / 100) ** 2 / (n / 100)).sum()
    assert 45 < chi_square < 170  # 99 degrees of freedom, about 1e-5 on each side


@pytest.mark.parametrize("lag", [1, 2, 7, 64, 400, 4096])
def test_positions_are_independent(lag):
    values = draws(1).ravel()
    correlation = np.corrcoef(values[:-lag], values[lag:])[0, 1]
    assert abs(correlation) < 5 / np.sqrt(values.size)


def test_keys_are_independent_and_the_same_key_repeats():
    np.testing.assert_array_equal(draws(2), draws(2))
    streams = np.stack([draws(seed, (20_000,)) for seed in range(8)])
    correlations = np.corrcoef(streams) - np.eye(8)
    assert np.abs(correlations).max() < 5 / np.sqrt(20_000)
    folded = [jax.random.fold_in(jax.random.key(0), i) for i in range(50)]
    means = [float(uniform(1.0)(key, (2_000,)).mean()) for key in folded]
    assert 0.6 < np.std(means) * np.sqrt(3 * 2_000) < 1.4


def test_values_do_not_depend_on_jit():
    init = uniform(0.5)
    key = jax.random.key(4)
    np.testing.assert_array_equal(init(key, (5, 6)), jax.jit(lambda k: init(k, (5, 6)))(key))


def test_fan_in_counts_all_axes_but_the_last():
    kernel = uniform_fan_in(jax.random.key(0), (3, 3, 4, 64))
    assert 0.99 / 6 < np.abs(kernel).max() <= 1 / 6


def test_near_identity_needs_room_for_the_identity():
    wide = np.asarray(near_identity(jax.random.key(0), (3, 5)))
    np.testing.assert_array_equal(np.diagonal(wide), 1.0)
    assert np.abs(wide - np.eye(3, 5)).max() <= 0.01
    narrow = np.asarray(near_identity(jax.random.key(0), (5, 3)))
    assert np.abs(narrow).max() <= 1 / np.sqrt(5)
