"""The local critic against a loop over images, texts, tokens and regions."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from tests.reference import numpy_losses
from tvdim_jax.losses import local_scores

RNG = np.random.default_rng(5)
N, R, M, T, D = 3, 5, 4, 6, 8
REGIONS = RNG.normal(size=(N, R, D)).astype(np.float32)
TOKENS = RNG.normal(size=(M, T, D)).astype(np.float32)
REGION_WHERE = np.arange(R) < np.array([[5], [2], [0]])  # the last image has no region
TOKEN_WHERE = np.arange(T) < np.array([[6], [1], [3], [0]])  # the last text has no token
POOLS = ["max", "mean", "log_mean_exp"]


def test_hand_value():
    regions = jnp.array([[[1.0, 0.0], [0.0, 2.0]]])
    tokens = jnp.array([[[3.0, 1.0]]])  # products 3 and 2
    score = partial(local_scores, regions, tokens)
    np.testing.assert_allclose(score(), [[3.0]])
    np.testing.assert_allclose(score(region_pool="mean"), [[2.5]])
    expected = np.log((np.exp(3) + np.exp(2)) / 2)
    np.testing.assert_allclose(score(region_pool="log_mean_exp"), [[expected]], rtol=1e-6)


@pytest.mark.parametrize("pool", POOLS)
def test_equal_to_the_loop(pool):
    masks = {"region_where": REGION_WHERE, "token_where": TOKEN_WHERE}
    each = numpy_losses.local_scores(REGIONS, TOKENS, REGION_WHERE, TOKEN_WHERE, pool)
    got = local_scores(REGIONS, TOKENS, **masks, region_pool=pool, token_pool=None)
    np.testing.assert_allclose(got, each, rtol=1e-5, atol=1e-5)
    mean = each.sum(-1) / np.maximum(TOKEN_WHERE.sum(-1), 1)
    got = local_scores(REGIONS, TOKENS, **masks, region_pool=pool)
    np.testing.assert_allclose(got, mean, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("pool", POOLS)
def test_mask_equals_subset_and_unreal_features_get_no_gradient(pool):
    where = np.array([[True, False, True, True, False]] * N)
    score = partial(local_scores, region_pool=pool)
    masked = score(REGIONS, TOKENS, region_where=where)
    subset = score(REGIONS[:, where[0]], TOKENS)
    np.testing.assert_allclose(masked, subset, rtol=1e-5, atol=1e-6)

    @jax.jit
    def total(regions, tokens):
        masks = {"region_where": REGION_WHERE, "token_where": TOKEN_WHERE}
        return jnp.sum(jnp.sin(score(regions, tokens, **masks)))

    by_region, by_token = jax.grad(total, (0, 1))(REGIONS, TOKENS)
    assert np.all(np.isfinite(by_region))
    assert np.all(np.asarray(by_region)[~REGION_WHERE] == 0)
    assert np.all(np.asarray(by_token)[~TOKEN_WHERE] == 0)
    assert np.any(np.asarray(by_token)[TOKEN_WHERE] != 0)


@pytest.mark.parametrize("pool", POOLS)
def test_gradients_equal_finite_differences(x64, pool):
    @jax.jit
    def total(regions, tokens):
        masks = {"region_where": REGION_WHERE, "token_where": TOKEN_WHERE}
        return jnp.sum(jnp.sin(local_scores(regions, tokens, **masks, region_pool=pool)))

    features = jnp.asarray(REGIONS, jnp.float64), jnp.asarray(TOKENS, jnp.float64)
    check_grads(total, features, 1, ["rev"], eps=1e-6)


def test_max_gives_the_gradient_to_one_location():
    gradient = jax.grad(lambda r: jnp.sum(local_scores(r, TOKENS[:1, :1])))(REGIONS)
    assert [int(np.any(image != 0, axis=-1).sum()) for image in np.asarray(gradient)] == [1] * N


def test_large_scores_stay_finite():
    got = local_scores(REGIONS * 1e4, TOKENS, region_pool="log_mean_exp")
    assert np.all(np.isfinite(got))
    one = local_scores(REGIONS[:, :1], TOKENS[:, :1], region_pool="log_mean_exp")
    np.testing.assert_allclose(one, REGIONS[:, 0] @ TOKENS[:, 0].T, rtol=1e-5, atol=1e-6)


def test_jit_and_vmap_agree():
    score = partial(local_scores, token_where=TOKEN_WHERE, region_pool="log_mean_exp")
    plain = score(REGIONS, TOKENS)
    np.testing.assert_allclose(jax.jit(score)(REGIONS, TOKENS), plain, rtol=1e-6, atol=1e-6)
    pair = jax.vmap(score, in_axes=(0, None))(np.stack([REGIONS, 2 * REGIONS]), TOKENS)
    np.testing.assert_allclose(pair[0], plain, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(pair[1], score(2 * REGIONS, TOKENS), rtol=1e-6, atol=1e-6)


def test_eight_devices_give_the_value_of_one():
    regions = RNG.normal(size=(16, R, D)).astype(np.float32)
    tokens = RNG.normal(size=(8, T, D)).astype(np.float32)
    mesh = jax.make_mesh((8,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
    sharded = jax.device_put((regions, tokens), jax.NamedSharding(mesh, jax.P("data")))
    expected = local_scores(regions, tokens)
    np.testing.assert_allclose(jax.jit(local_scores)(*sharded), expected, rtol=1e-5, atol=1e-5)


def test_bfloat16_features_are_summed_in_float32():
    low = jnp.asarray(REGIONS, jnp.bfloat16), jnp.asarray(TOKENS, jnp.bfloat16)
    got = local_scores(*low)
    assert got.dtype == jnp.float32
    exact = local_scores(*(features.astype(jnp.float32) for features in low))
    np.testing.assert_allclose(got, exact, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        ((REGIONS[0], TOKENS), {}, r"local features: got regions \(5, 8\)"),
        ((REGIONS, TOKENS[..., :4]), {}, r"tokens \(4, 6, 4\), wanted \[N, R, D\] and \[M, T, D\]"),
        ((REGIONS, TOKENS), {"region_where": TOKEN_WHERE}, r"region_where: got shape \(4, 6\)"),
        ((REGIONS, TOKENS), {"token_where": TOKEN_WHERE[0]}, r"token_where: .* wanted \(4, 6\)"),
        ((REGIONS, TOKENS), {"region_pool": "min"}, "region_pool: got 'min', wanted one of max"),
        ((REGIONS, TOKENS), {"token_pool": "max"}, "token_pool: got 'max', wanted 'mean' or None"),
    ],
)
def test_wrong_arguments_say_so(arguments, options, message):
    with pytest.raises(ValueError, match=message):
        local_scores(*arguments, **options)
