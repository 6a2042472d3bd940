"""The bounds of the temperature, and which way its gradient passes."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from tvdim_jax.objectives.temperature import (
    FIRST_TEMPERATURE,
    HIGHEST_TEMPERATURE,
    LOWEST_TEMPERATURE,
    bounded_temperature,
)


@pytest.mark.parametrize(
    ("parameter", "value", "downhill", "uphill"),
    [
        (0.07, 0.07, -3, 3),
        (0.001, 0.001, -3, 3),
        (0.0005, 0.001, -3, 0),  # a descent against +3 would lead further out
        (-2.0, 0.001, -3, 0),
        (0.5, 0.5, -3, 3),
        (0.7, 0.5, 0, 3),
    ],
)
def test_values_and_gradients(parameter, value, downhill, uphill):
    for slope, expected in [(-3.0, downhill), (3.0, uphill)]:
        got, gradient = jax.value_and_grad(lambda p, s=slope: s * bounded_temperature(p))(parameter)
        np.testing.assert_allclose(got, slope * value, rtol=1e-6)
        assert float(gradient) == expected


def test_a_descent_leaves_no_further_than_a_step_and_comes_back():
    tx = optax.sgd(0.01)
    params = jnp.float32(FIRST_TEMPERATURE)

    def descend(params, slope):
        gradient = jax.grad(lambda p: slope * bounded_temperature(p))(params)
        return optax.apply_updates(params, tx.update(gradient, tx.init(params))[0])

    for _ in range(100):
        params = descend(params, 1.0)
    assert -0.01 <= float(params) < LOWEST_TEMPERATURE
    for _ in range(2):
        params = descend(params, -1.0)
    assert LOWEST_TEMPERATURE < float(params) < HIGHEST_TEMPERATURE
