"""Hand values of the bounds over all negatives, and known answers on correlated Gaussians."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from tests.reference import numpy_losses
from tvdim_jax.critics import ConcatMLP
from tvdim_jax.losses import (
    donsker_varadhan_lower_bound,
    info_nce_lower_bound,
    jsd_objective,
    nwj_lower_bound,
    smile_lower_bound,
)

SCORES = jnp.array([[2.0, -1.0], [0.5, 1.0]])
MEAN_EXP = (math.exp(-1) + math.exp(0.5)) / 2
DIMS = 4


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


def log_ratios(x, y, rho):
    """log p(y|x) / p(y) of standard normal coordinates that are pairwise correlated."""
    square = (y - rho * x) ** 2 / (1 - rho**2)
    return (0.5 * (y**2 - square) - 0.5 * math.log(1 - rho**2)).sum(-1)


def correlation(nats):
    return math.sqrt(1 - math.exp(-2 * nats / DIMS))


def gaussians(key, num_pairs, rho):
    x, noise = jax.random.normal(key, (2, num_pairs, DIMS))
    return x, rho * x + math.sqrt(1 - rho**2) * noise


def mean_estimate(bound, nats):
    """Mean over 20 batches of 1,024 pairs, scored by the analytic critic."""
    rho = correlation(nats)

    @jax.jit
    def of_batch(key):
        x, y = gaussians(key, 1024, rho)
        return bound(log_ratios(x[:, None], y[None], rho))

    return np.mean([of_batch(key) for key in jax.random.split(jax.random.key(0), 20)])


@pytest.mark.parametrize(
    "bound",
    [donsker_varadhan_lower_bound, lambda scores: nwj_lower_bound(1 + scores), smile_lower_bound],
    ids=["donsker_varadhan", "nwj", "smile"],
)
def test_gaussians_of_two_nats_with_the_analytic_critic(bound):
    """The band: N = 1,024, mean of 20 batches, within 5 %."""
    np.testing.assert_allclose(mean_estimate(bound, 2.0), 2.0, rtol=0.05)


@pytest.mark.parametrize(
    "bound",
    [
        info_nce_lower_bound,
        pytest.param(donsker_varadhan_lower_bound, marks=pytest.mark.slow),
        pytest.param(nwj_lower_bound, marks=pytest.mark.slow),
    ],
)
def test_gaussians_of_two_nats_with_a_critic_that_the_bound_trained(bound):
    """The band: within 10 %, on 4 batches of 1,024 pairs that it was not trained on."""
    critic, rho, num_steps = ConcatMLP(hidden=(32, 32)), correlation(2.0), 300
    tx = optax.adam(optax.cosine_decay_schedule(1e-2, num_steps))

    def score(params, key, num_pairs):
        return bound(critic.apply(params, *gaussians(key, num_pairs, rho)))

    def step(carry, key):
        params, state = carry
        updates, state = tx.update(jax.grad(lambda p: -score(p, key, 64))(params), state)
        return (optax.apply_updates(params, updates), state), None

    @jax.jit
    def estimates(init_key, train_key, test_key):
        params = critic.init(init_key, *gaussians(init_key, 1, rho))
        keys = jax.random.split(train_key, num_steps)
        (params, _), _ = jax.lax.scan(step, (params, tx.init(params)), keys)
        return jax.lax.map(lambda key: score(params, key, 1024), jax.random.split(test_key, 4))

    found = estimates(*jax.random.split(jax.random.key(0), 3))
    np.testing.assert_allclose(np.mean(found), 2.0, rtol=0.1)


@pytest.mark.parametrize(("nats", "rounded"), [(2.0, 0.014), (5.0, 0.36)])
def test_smile_overestimates_by_what_its_clip_cuts(nats, rounded):
    """Its bias with the analytic critic is -log E_negatives[exp clamp s] > 0: no lower bound.

    The expectation of a function of s over negatives is that of exp(-s) times it over positives,
    where a sample sees the large s; the small ones are counted among negatives, exp(-5) each.
    """
    rng, rho = np.random.default_rng(1), correlation(nats)
    x, noise, other = rng.normal(size=(3, 200_000, DIMS))
    positive = log_ratios(x, rho * x + math.sqrt(1 - rho**2) * noise, rho)
    above = np.mean(np.where(positive > -5, np.exp(np.minimum(5 - positive, 0)), 0))
    below = math.exp(-5) * np.mean(log_ratios(x, other, rho) <= -5)
    expected = -math.log(above + below)
    np.testing.assert_allclose(expected, rounded, rtol=0.05)

    def excess(scores):  # over the mean positive score, whose expectation is the truth
        return smile_lower_bound(scores, clip=5.0) - jnp.mean(jnp.diagonal(scores))

    np.testing.assert_allclose(mean_estimate(excess, nats), expected, rtol=0.1, atol=0.004)


@pytest.mark.parametrize("name", ["where", "positive_mask"])
def test_matrices_of_masks_are_broadcast(name):
    scores = np.random.default_rng(2).normal(size=(4, 6)).astype(np.float32)
    words = {name: np.array([[True, True, False, True, True, False]])}
    expected = numpy_losses.donsker_varadhan_lower_bound(scores, **words)
    assert expected != numpy_losses.donsker_varadhan_lower_bound(scores)
    np.testing.assert_allclose(donsker_varadhan_lower_bound(scores, **words), expected, rtol=1e-5)
