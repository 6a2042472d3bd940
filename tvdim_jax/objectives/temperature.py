"""The learned temperature of ALBEF: the parameter is the temperature itself, kept in bounds."""

import jax
import jax.numpy as jnp

FIRST_TEMPERATURE = 0.07
LOWEST_TEMPERATURE, HIGHEST_TEMPERATURE = 0.001, 0.5


@jax.custom_vjp
def bounded_temperature(parameter: jax.Array) -> jax.Array:
    """The parameter within 0.001..0.5, to divide cosines by.

    Beyond a bound, a gradient that would lead a descent further out is 0, while one that leads back
    passes: the parameter neither runs away nor sticks.

    Args:
      parameter: scalar float; 0.07 at first.

    Source: Li et al. 2021 (arXiv 2107.07651) as released, which cuts the parameter itself.
    """
    return jnp.clip(parameter, LOWEST_TEMPERATURE, HIGHEST_TEMPERATURE)


def _forward(parameter: jax.Array) -> tuple[jax.Array, jax.Array]:
    return bounded_temperature(parameter), parameter


def _backward(parameter: jax.Array, cotangent: jax.Array) -> tuple[jax.Array]:
    too_low = (parameter < LOWEST_TEMPERATURE) & (cotangent > 0)
    too_high = (parameter > HIGHEST_TEMPERATURE) & (cotangent < 0)
    return (jnp.where(too_low | too_high, 0, cotangent),)


bounded_temperature.defvjp(_forward, _backward)
