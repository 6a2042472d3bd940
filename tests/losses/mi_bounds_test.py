"""Hand values of the bounds over all negatives, and known answers on correlated Gaussians."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tvdim_jax.losses import (
    donsker_varadhan_lower_bound,
    jsd_objective,
    nwj_lower_bound,
    smile_lower_bound,
)

SCORES = jnp.array([[2.0, -1.0], [0.5, 1.0]])
MEAN_EXP = (math.exp(-1) + math.exp(0.5)) / 2


def test_hand_values():
    np.testing.assert_allclose(
        donsker_varadhan_lower_bound(SCORES), 1.5 - math.log(MEAN_EXP), rtol=1e-6
    )
    np.testing.assert_allclose(nwj_lower_bound(SCORES), 1.5 - MEAN_EXP / math.e, rtol=1e-6)
    clamped = (math.exp(-0.4) + math.exp(0.4)) / 2
    np.testing.assert_allclose(
        smile_lower_bound(SCORES, clip=0.4), 1.5 - math.log(clamped), rtol=1e-6
    )
    positives = (math.log1p(math.exp(-2)) + math.log1p(math.exp(-1))) / 2
    negatives = (math.log1p(math.exp(-1)) + math.log1p(math.exp(0.5))) / 2
    np.testing.assert_allclose(jsd_objective(SCORES), -positives - negatives, rtol=1e-6)


def test_clip_must_be_above_zero():
    with pytest.raises(ValueError, match="clip: got 0, wanted a number above 0"):
        smile_lower_bound(SCORES, clip=0)


@pytest.mark.parametrize(
    ("bound", "offset"),
    [(donsker_varadhan_lower_bound, 0.0), (nwj_lower_bound, 1.0)],
)
def test_gaussians_of_two_nats_with_the_analytic_critic(bound, offset):
    """design of the band: N = 1,024, mean of 20 batches, within 5 %."""
    dims, nats = 4, 2.0
    rho = math.sqrt(1 - math.exp(-2 * nats / dims))

    @jax.jit
    def estimate(key):
        x, noise = jax.random.normal(key, (2, 1024, dims))
        y = rho * x + math.sqrt(1 - rho**2) * noise
        square = jnp.sum(jnp.square(y[None] - rho * x[:, None]), -1) / (1 - rho**2)
        log_ratio = 0.5 * (jnp.sum(y**2, -1)[None] - square) - 0.5 * dims * math.log(1 - rho**2)
        return bound(log_ratio + offset)

    estimates = [estimate(key) for key in jax.random.split(jax.random.key(0), 20)]
    np.testing.assert_allclose(np.mean(estimates), nats, rtol=0.05)
