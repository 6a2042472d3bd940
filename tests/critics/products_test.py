"""The product critics against loops over pairs in float64 NumPy."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from tvdim_jax.critics import bilinear, cosine, dot

RNG = np.random.default_rng(7)
N, M, D, E = 5, 7, 6, 4
X = RNG.normal(size=(N, D)).astype(np.float32)
Y = RNG.normal(size=(M, D)).astype(np.float32)
Z = RNG.normal(size=(M, E)).astype(np.float32)  # another width, for bilinear
KERNEL = RNG.normal(size=(D, E)).astype(np.float32)
TEMPERATURE = 0.3


def dot_of(params, x, y):
    return sum(a * b for a, b in zip(x, y, strict=True))


def cosine_of(temperature, x, y):
    lengths = np.sqrt(dot_of((), x, x)) * np.sqrt(dot_of((), y, y))
    return dot_of((), x, y) / lengths / temperature if lengths else 0.0


def bilinear_of(kernel, x, y):
    return sum(x[d] * kernel[d, e] * y[e] for d in range(len(x)) for e in range(len(y)))


def loop(score, params, x, y):
    """Scores `[N, M]` of each pair alone, in float64."""
    params, x, y = (np.asarray(a, np.float64) for a in (params, x, y))
    return np.array([[score(params, a, b) for b in y] for a in x])


CASES = [
    pytest.param(dot, dot_of, (), X, Y, id="dot"),
    pytest.param(cosine, cosine_of, TEMPERATURE, X, Y, id="cosine"),
    pytest.param(bilinear, bilinear_of, KERNEL, X, Z, id="bilinear"),
]


def test_hand_values():
    x, y = jnp.array([[3.0, 4.0]]), jnp.array([[0.0, 2.0], [1.0, 0.0]])
    np.testing.assert_allclose(dot((), x, y), [[8.0, 3.0]])
    np.testing.assert_allclose(cosine(0.5, x, y), [[1.6, 1.2]], rtol=1e-6)
    np.testing.assert_allclose(bilinear(jnp.array([[0.0, 1.0], [1.0, 0.0]]), x, y), [[6.0, 4.0]])


@pytest.mark.parametrize(("critic", "score", "params", "x", "y"), CASES)
def test_equal_to_the_loop(critic, score, params, x, y):
    got = critic(params, x, y)
    assert got.dtype == jnp.float32
    np.testing.assert_allclose(got, loop(score, params, x, y), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("critic", "score", "params", "x", "y"), CASES)
def test_gradients_equal_finite_differences(critic, score, params, x, y, *, x64):
    @jax.jit
    def total(params, x, y):
        return jnp.sum(jnp.sin(critic(params, x, y)))

    point = jax.tree.map(lambda a: jnp.asarray(a, jnp.float64), (params, x, y))
    assert critic(*point).dtype == jnp.float64
    check_grads(total, point, 1, ["rev"], eps=1e-6)


@pytest.mark.parametrize(("critic", "score", "params", "x", "y"), CASES)
def test_jit_vmap_tiles_and_eight_devices_agree(critic, score, params, x, y):
    x, y = np.resize(x, (8, x.shape[1])), np.resize(y, (16, y.shape[1]))
    expected = loop(score, params, x, y)

    @jax.jit
    def scores(params, x, y):
        two = jax.vmap(critic, (None, 0, None))(params, jnp.stack([x, -x]), y)
        return critic(params, x, y), critic(params, x[1:3], y[4:]), two

    mesh = jax.make_mesh((8,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
    sharded = jax.device_put((x, y), jax.NamedSharding(mesh, jax.P("data")))
    for features in [(x, y), sharded]:
        whole, tile, two = scores(params, *features)
        np.testing.assert_allclose(whole, expected, rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(tile, expected[1:3, 4:], rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(two, [expected, -expected], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("critic", "score", "params", "x", "y"), CASES)
def test_bfloat16_features_are_summed_in_float32(critic, score, params, x, y):
    """Wide vectors of one sign, whose sum in bfloat16 would stop growing at 256 terms of 1."""
    x, y = (np.resize(np.abs(a), (3, 2048)) for a in (x, y))
    params = RNG.uniform(size=(2048, 2048)).astype(np.float32) if critic is bilinear else params
    x, y = jnp.asarray(x, jnp.bfloat16), jnp.asarray(y, jnp.bfloat16)
    program = jax.jit(critic).lower(params, x, y)
    products = program.as_text().split("dot_general")[1:]
    assert products
    for product in products:
        assert re.findall(r"x(b?f\d+)>", product)[:3] == ["bf16", "bf16", "f32"]
    got = program.compile()(params, x, y)
    assert got.dtype == jnp.float32
    exact_x, exact_y = np.asarray(x, np.float64), np.asarray(y, np.float64)
    expected = {
        dot: lambda: exact_x @ exact_y.T,
        cosine: lambda: loop(cosine_of, params, x, y),
        bilinear: lambda: exact_x @ np.asarray(params, np.float64) @ exact_y.T,
    }[critic]()
    # Only dot rounds nothing on the way.
    tolerance = 1e-5 if critic is dot else 2**-9
    np.testing.assert_allclose(got, expected, rtol=tolerance)


@pytest.mark.parametrize(("critic", "score", "params", "x", "y"), CASES)
def test_features_of_two_types_meet_in_the_wider_one(critic, score, params, x, y):
    low = jnp.asarray(x, jnp.bfloat16)

    @jax.jit
    def scores_and_gradient(x):
        got, backward = jax.vjp(lambda x: critic(params, x, y), x)
        return got, *backward(jnp.ones_like(got))

    got, gradient = scores_and_gradient(low)
    np.testing.assert_allclose(got, loop(score, params, low, y), rtol=1e-5, atol=1e-5)
    assert gradient.dtype == jnp.bfloat16


def test_zero_vectors_score_zero_and_get_no_gradient():
    x, y = X.copy(), Y.copy()
    x[2], y[[0, 3]] = 0, 0
    scores = np.asarray(cosine(TEMPERATURE, x, y))
    assert np.all(scores[2] == 0)
    assert np.all(scores[:, [0, 3]] == 0)
    np.testing.assert_allclose(scores, loop(cosine_of, TEMPERATURE, x, y), rtol=1e-5, atol=1e-5)
    gradients = jax.jit(jax.grad(lambda *a: jnp.sum(jnp.cos(1 + cosine(*a))), (0, 1, 2)))(
        TEMPERATURE, x, y
    )
    assert all(np.all(np.isfinite(gradient)) for gradient in gradients)
    of_x, of_y = (np.any(np.asarray(gradient) != 0, axis=-1) for gradient in gradients[1:])
    np.testing.assert_array_equal(of_x, np.arange(N) != 2)
    np.testing.assert_array_equal(of_y, ~np.isin(np.arange(M), [0, 3]))


def test_cosine_hides_no_bad_feature_and_ignores_lengths():
    x = X.copy()
    x[0, 0], x[1, 1] = np.nan, np.inf
    scores = np.asarray(cosine(TEMPERATURE, x, Y))
    assert np.all(np.isnan(scores[:2]))
    assert np.all(np.isfinite(scores[2:]))
    lengths = np.array([1e-12, 1e-4, 1.0, 1e4, 1e12], np.float32)[:, None]
    expected = cosine(TEMPERATURE, X, Y)
    np.testing.assert_allclose(cosine(TEMPERATURE, X * lengths, Y), expected, rtol=1e-4, atol=1e-5)


def test_temperature_is_traced_and_differentiable():
    value, gradient = jax.jit(jax.value_and_grad(lambda t: jnp.sum(cosine(t, X, Y))))(TEMPERATURE)
    expected = loop(cosine_of, TEMPERATURE, X, Y).sum()
    np.testing.assert_allclose(value, expected, rtol=1e-4)
    np.testing.assert_allclose(gradient, -expected / TEMPERATURE, rtol=1e-4)


@pytest.mark.parametrize(
    ("critic", "arguments", "message"),
    [
        (dot, ((), X, Z), r"features: got x \(5, 6\) and y \(7, 4\), wanted \[N, D\] and \[M, D\]"),
        (dot, ((), X[0], Y), r"got x \(6,\) and .* take one vector an example, vmap over leading"),
        (cosine, (1.0, X[None], Y), r"features: got x \(1, 5, 6\) and y \(7, 6\), wanted \[N, D\]"),
        (cosine, (1.0, X, Z), "and bilinear or ConcatMLP for two widths"),
        (cosine, (0.0, X, Y), "temperature: got 0.0, wanted a number above 0 that divides"),
        (cosine, (np.nan, X, Y), "temperature: got nan, wanted a number above 0.* 0.07 is usual"),
        (cosine, (X[0], X, Y), r"temperature: got shape \(6,\), wanted one scalar above 0, given"),
        (bilinear, (KERNEL, X, Z[None]), r"and y \(1, 7, 4\), wanted \[N, D_x\] and \[M, D_y\]"),
        (bilinear, (KERNEL.T, X, Z), r"kernel: got shape \(4, 6\), wanted \(6, 4\), .* transpose"),
    ],
)
def test_wrong_arguments_say_so(critic, arguments, message):
    with pytest.raises(ValueError, match=message):
        critic(*arguments)
