"""The loss battery for InfoNCE, and known answers on correlated Gaussians."""

import math
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from tests.reference import numpy_losses
from tvdim_jax.losses import info_nce_loss, info_nce_lower_bound

RNG = np.random.default_rng(1)
N, M = 6, 9
SCORES = RNG.normal(size=(N, M)).astype(np.float32) * 2
WORDS = {
    "x_where": RNG.random(N) < 0.8,
    "y_where": RNG.random(M) < 0.8,
    "where": RNG.random((N, M)) < 0.8,
    "x_group_id": RNG.integers(-1, 4, (N, 2)),
    "y_group_id": RNG.integers(-1, 4, (M, 2)),
}
IDS = {"x_positive_id": RNG.integers(0, 4, N), "y_positive_id": RNG.integers(0, 4, M)}
MASK = {"positive_mask": RNG.random((N, M)) < 0.3}
CASES = [{}, WORDS, IDS, MASK, WORDS | IDS, WORDS | MASK]
BOTH = [info_nce_lower_bound, info_nce_loss]


def test_hand_value():
    scores = jnp.array([[math.log(3.0), 0.0], [math.log(2.0), math.log(6.0)]])
    rows = (math.log(4 / 3) + math.log(8 / 6)) / 2  # 3 of 3 + 1; 6 of 6 + 2
    columns = (math.log(5 / 3) + math.log(7 / 6)) / 2  # 3 of 3 + 2; 6 of 6 + 1
    np.testing.assert_allclose(info_nce_loss(scores, symmetric=False), rows, rtol=1e-6)
    np.testing.assert_allclose(info_nce_loss(scores), (rows + columns) / 2, rtol=1e-6)
    np.testing.assert_allclose(info_nce_lower_bound(scores), math.log(2) - rows, rtol=1e-6)


def test_several_positives_compete_alone_with_the_negatives():
    scores = jnp.log(jnp.array([[2.0, 4.0, 1.0, 3.0]]))
    positive = jnp.array([[True, True, False, False]])
    expected = (math.log(6 / 2) + math.log(8 / 4)) / 2
    got = info_nce_loss(scores, symmetric=False, positive_mask=positive)
    np.testing.assert_allclose(got, expected, rtol=1e-6)
    bound = info_nce_lower_bound(scores, positive_mask=positive)
    np.testing.assert_allclose(bound, math.log(3) - expected, rtol=1e-6)


@pytest.mark.parametrize("words", CASES)
@pytest.mark.parametrize("symmetric", [True, False])
def test_equal_to_the_loop(words, symmetric):
    options = {"temperature": 0.37, "symmetric": symmetric}
    np.testing.assert_allclose(
        info_nce_loss(SCORES, **options, **words),
        numpy_losses.info_nce_loss(SCORES, **options, **words),
        rtol=1e-5,
    )
    np.testing.assert_allclose(
        info_nce_lower_bound(SCORES, **words),
        numpy_losses.info_nce_lower_bound(SCORES, **words),
        rtol=1e-5,
        atol=1e-6,
    )


@pytest.mark.parametrize("loss", BOTH)
@pytest.mark.parametrize(
    ("shape", "words"),
    [
        ((1, 1), {}),
        ((3, 3), {"where": np.zeros((3, 3), bool)}),
        ((3, 3), {"where": np.eye(3, dtype=bool)}),
        ((3, 4), {"positive_mask": np.zeros((3, 4), bool)}),
        ((2, 2), {"x_group_id": np.array([7, 7]), "y_group_id": np.array([7, 7])}),
    ],
)
def test_nothing_to_compare_is_zero_with_zero_gradient(loss, shape, words):
    value, gradient = jax.jit(jax.value_and_grad(partial(loss, **words)))(jnp.full(shape, 3.0))
    assert float(value) == 0.0
    np.testing.assert_array_equal(gradient, np.zeros(shape))


def test_nothing_to_compare_makes_no_nan_on_the_way():
    with jax.debug_nans(True):
        info_nce_loss(SCORES[:2, :2], where=np.eye(2, dtype=bool))


def test_extremes_are_finite():
    far = jnp.array([[1e4, -1e4], [1e4, -1e4]])
    value, gradient = jax.jit(jax.value_and_grad(info_nce_loss))(far)
    # Rows: 0 and 2e4. Columns: both positives equal their negative.
    np.testing.assert_allclose(value, (1e4 + math.log(2)) / 2, rtol=1e-6)
    assert np.all(np.isfinite(gradient))
    equal = jnp.full((5, 5), 1e4)
    np.testing.assert_allclose(info_nce_loss(equal), math.log(5), rtol=1e-6)
    np.testing.assert_allclose(info_nce_lower_bound(equal), 0.0, atol=1e-6)
    solved = 1e4 * jnp.eye(5)
    np.testing.assert_allclose(info_nce_lower_bound(solved), math.log(5), rtol=1e-6)


@pytest.mark.parametrize("loss", BOTH)
def test_mask_equals_subset_even_over_nan(loss):
    x_where = np.array([True, True, False, True, True, False])
    y_where = np.array([True, True, False, True, True, False, True, True, True])
    scores = jnp.where(x_where[:, None] & y_where[None, :], SCORES, jnp.nan)
    masked = jax.jit(jax.value_and_grad(partial(loss, x_where=x_where, y_where=y_where)))(scores)
    subset = jax.jit(jax.value_and_grad(loss))(jnp.asarray(SCORES[x_where][:, y_where]))
    np.testing.assert_allclose(masked[0], subset[0], rtol=1e-6)
    np.testing.assert_allclose(masked[1][x_where][:, y_where], subset[1], rtol=1e-5, atol=1e-8)
    assert np.all(np.asarray(masked[1])[~x_where] == 0)


@pytest.mark.parametrize("loss", BOTH)
@pytest.mark.parametrize("words", [{}, WORDS | IDS])
def test_gradients_equal_finite_differences(x64, loss, words):
    check_grads(jax.jit(partial(loss, **words)), (jnp.asarray(SCORES, jnp.float64),), 1, ["rev"])


@pytest.mark.parametrize("loss", BOTH)
def test_jit_vmap_and_leading_axes_agree(loss):
    scores = jnp.asarray(RNG.normal(size=(2, 3, N, M)), jnp.float32)
    masked = partial(loss, **WORDS)
    leading = jax.jit(masked)(scores)
    assert leading.shape == (2, 3)
    one_by_one = [[masked(scores[a, b]) for b in range(3)] for a in range(2)]
    np.testing.assert_allclose(leading, np.array(one_by_one), rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(
        leading, jax.jit(jax.vmap(jax.vmap(masked)))(scores), rtol=1e-6, atol=1e-7
    )


@pytest.mark.parametrize("loss", BOTH)
def test_sharded_scores_give_the_value_and_gradient_of_one_device(loss):
    # The compiler splits the matrix; the ring has its tests in stream_test.py.
    scores = jnp.asarray(RNG.normal(size=(16, 24)) * 3, jnp.float32)
    ids = jnp.arange(16) // 2, jnp.arange(24) // 2
    masks = {"x_group_id": ids[0], "y_group_id": ids[1]}
    mesh = jax.make_mesh((8,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
    sharded = jax.device_put(scores, jax.NamedSharding(mesh, jax.P("data")))
    function = jax.jit(jax.value_and_grad(lambda s: loss(s, **masks)))
    value, gradient = function(sharded)
    expected_value, expected_gradient = function(scores)
    np.testing.assert_allclose(value, expected_value, rtol=1e-5)
    np.testing.assert_allclose(gradient, expected_gradient, rtol=1e-5, atol=1e-7)


def test_precision_is_float32_for_bfloat16_and_float64_stays(x64):
    scores = jnp.asarray(SCORES)
    low = scores.astype(jnp.bfloat16)
    loss = jax.jit(info_nce_loss)
    assert loss(low).dtype == jnp.float32
    np.testing.assert_array_equal(loss(low), loss(low.astype(jnp.float32)))
    double = loss(scores.astype(jnp.float64))
    assert double.dtype == jnp.float64
    np.testing.assert_allclose(double, numpy_losses.info_nce_loss(SCORES), rtol=1e-13)
    bound = jax.eval_shape(info_nce_lower_bound, scores.astype(jnp.float64))
    assert bound.dtype == jnp.float64


def test_temperature_is_positive_and_may_be_traced():
    for wrong in (0.0, -1.0, float("nan"), jnp.zeros(()), jnp.ones(3), None):
        with pytest.raises(ValueError, match=r"temperature: got .*, wanted one number above 0"):
            info_nce_loss(SCORES, temperature=wrong)
    slope = jax.jit(jax.grad(lambda t: info_nce_loss(SCORES, temperature=t)))(0.5)
    step = 1e-2
    difference = (
        numpy_losses.info_nce_loss(SCORES, temperature=0.5 + step)
        - numpy_losses.info_nce_loss(SCORES, temperature=0.5 - step)
    ) / (2 * step)
    np.testing.assert_allclose(slope, difference, rtol=1e-2)


def gaussian_scores(rng, batch, dimensions, nats):
    """Log density ratio of all pairs of correlated Gaussians with this mutual information."""
    rho = math.sqrt(1 - math.exp(-2 * nats / dimensions))
    x = rng.normal(size=(batch, dimensions))
    y = rho * x + math.sqrt(1 - rho**2) * rng.normal(size=(batch, dimensions))
    squares = (y**2).sum(1)[None] - 2 * rho * x @ y.T + rho**2 * (x**2).sum(1)[:, None]
    return nats - squares / (2 * (1 - rho**2)) + (y**2).sum(1)[None] / 2


def test_analytic_critic_finds_two_nats():
    rng = np.random.default_rng(2)
    bound = jax.jit(info_nce_lower_bound)
    estimates = [bound(gaussian_scores(rng, 1024, 20, 2.0).astype(np.float32)) for _ in range(20)]
    np.testing.assert_allclose(np.mean(estimates), 2.0, rtol=0.05)


def test_saturates_at_log_n_and_never_above():
    rng = np.random.default_rng(3)
    bound = jax.jit(info_nce_lower_bound)
    estimates = [
        float(bound(gaussian_scores(rng, 64, 20, 20.0).astype(np.float32))) for _ in range(5)
    ]
    assert max(estimates) <= math.log(64)
    assert min(estimates) > 0.98 * math.log(64)
