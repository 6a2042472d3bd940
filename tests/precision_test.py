"""Products summed in float32: value and gradient against float64 NumPy."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from tvdim_jax.precision import einsum_float32

RNG = np.random.default_rng(11)
RESULT = {"bfloat16": np.float32, "float32": np.float32, "float64": np.float64}  # of the products
CASES = [
    ("nd,md->nm", (5, 300), (7, 300)),
    ("nd,de->ne", (5, 40), (40, 3)),
    ("nrd,mtd->nrmt", (2, 3, 40), (4, 5, 40)),
    ("pc,cd->pd", (6, 40), (40, 1)),
    ("bnd,bmd->bmn", (2, 3, 40), (2, 5, 40)),
]


def operands(x_shape, y_shape, dtype=np.float32):
    return (jnp.asarray(RNG.normal(size=shape), dtype) for shape in (x_shape, y_shape))


def exact(subscripts, *arrays):
    return np.einsum(subscripts, *(np.asarray(a, np.float64) for a in arrays))


def exact_gradients(subscripts, x, y, cotangent):
    (x_axes, y_axes), out = subscripts.split("->")[0].split(","), subscripts.split("->")[1]
    return (
        exact(f"{out},{y_axes}->{x_axes}", cotangent, y),
        exact(f"{out},{x_axes}->{y_axes}", cotangent, x),
    )


def run(subscripts, x, y):
    """A random cotangent, the value, and the gradients of both operands for it."""
    (x_axes, y_axes), out = subscripts.split("->")[0].split(","), subscripts.split("->")[1]
    sizes = dict(zip(x_axes + y_axes, x.shape + y.shape, strict=True))
    cotangent = jnp.asarray(RNG.normal(size=[sizes[axis] for axis in out]), RESULT[x.dtype.name])

    @jax.jit
    def value_and_gradients(x, y, cotangent):
        got, backward = jax.vjp(lambda x, y: einsum_float32(subscripts, x, y), x, y)
        return got, backward(cotangent)

    return cotangent, *value_and_gradients(x, y, cotangent)


def test_hand_value():
    x, y = jnp.array([[1.0, 2.0], [0.0, -1.0]]), jnp.array([[3.0, 4.0]])
    np.testing.assert_array_equal(einsum_float32("nd,md->nm", x, y), [[11.0], [-4.0]])


@pytest.mark.parametrize(("subscripts", "x_shape", "y_shape"), CASES)
def test_value_and_gradient_equal_float64_numpy(subscripts, x_shape, y_shape):
    x, y = operands(x_shape, y_shape)
    cotangent, got, gradients = run(subscripts, x, y)
    np.testing.assert_allclose(got, exact(subscripts, x, y), rtol=1e-5, atol=2e-5)
    for each, expected in zip(gradients, exact_gradients(subscripts, x, y, cotangent), strict=True):
        assert each.dtype == jnp.float32
        np.testing.assert_allclose(each, expected, rtol=1e-5, atol=2e-5)


@pytest.mark.parametrize(("subscripts", "x_shape", "y_shape"), CASES)
def test_bfloat16_products_are_exact_and_the_cotangent_is_rounded(subscripts, x_shape, y_shape):
    x, y = operands(x_shape, y_shape, jnp.bfloat16)
    cotangent, got, gradients = run(subscripts, x, y)
    assert got.dtype == jnp.float32
    np.testing.assert_allclose(got, exact(subscripts, x, y), rtol=1e-5, atol=2e-5)
    rounded = cotangent.astype(jnp.bfloat16)
    for each, expected in zip(gradients, exact_gradients(subscripts, x, y, rounded), strict=True):
        assert each.dtype == jnp.bfloat16
        # Half a unit in the last of bfloat16's 8 bits, and the float32 sum.
        np.testing.assert_allclose(np.asarray(each, np.float64), expected, rtol=2**-8, atol=2e-5)


def test_what_rounding_the_cotangent_removes_is_gone():
    two, one = jnp.ones((2, 1), jnp.bfloat16), jnp.ones((1, 1), jnp.bfloat16)
    cotangent = jnp.array([[1 + 2**-9], [-1.0]])  # 1 and -1 in bfloat16
    _, backward = jax.vjp(lambda x, y: einsum_float32("nd,md->nm", x, y), two, one)
    assert backward(cotangent)[1] == 0
    _, backward = jax.vjp(lambda x, y: einsum_float32("nd,md->nm", x, y), one, two)
    assert backward(cotangent.T)[0] == 0


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_every_product_asks_for_full_precision_and_runs_in_the_type_of_the_operands(dtype):
    x, y = operands((4, 6), (5, 6), dtype)

    def total(x, y):
        return jnp.sum(jnp.sin(einsum_float32("nd,md->nm", x, y)))

    program = jax.jit(jax.grad(total, (0, 1))).lower(x, y).as_text()
    products = [line for line in program.splitlines() if "dot_general" in line]
    assert len(products) == 3
    name = {jnp.float32: "f32", jnp.bfloat16: "bf16"}[dtype]
    for product in products:
        assert "precision = [HIGHEST, HIGHEST]" in product
        types = re.findall(r"tensor<\w*x(b?f\d+)>", product)
        assert types == [name, name, "f32"]


def test_vmap_equals_a_loop():
    x, y = operands((3, 4, 6), (3, 5, 6))

    def value_and_gradients(x, y):
        got, backward = jax.vjp(lambda x, y: einsum_float32("nd,md->nm", x, y), x, y)
        return got, backward(jnp.cos(got))

    for axes, pairs in [
        ((0, 0), [(x[i], y[i]) for i in range(3)]),
        ((0, None), [(x[i], y[1]) for i in range(3)]),
        ((None, 0), [(x[1], y[i]) for i in range(3)]),
    ]:
        arguments = (x if axes[0] == 0 else x[1]), (y if axes[1] == 0 else y[1])
        got = jax.jit(jax.vmap(value_and_gradients, axes))(*arguments)
        expected = jax.tree.map(
            lambda *each: np.stack(each), *[value_and_gradients(*pair) for pair in pairs]
        )
        jax.tree.map(
            lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5), got, expected
        )


def test_float64_stays(x64):
    x, y = operands((5, 300), (7, 300), np.float64)
    cotangent, got, gradients = run("nd,md->nm", x, y)
    assert got.dtype == jnp.float64
    np.testing.assert_allclose(got, exact("nd,md->nm", x, y), rtol=1e-13, atol=1e-13)
    for each, expected in zip(
        gradients, exact_gradients("nd,md->nm", x, y, cotangent), strict=True
    ):
        assert each.dtype == jnp.float64
        np.testing.assert_allclose(each, expected, rtol=1e-13, atol=1e-13)


def test_gradients_of_gradients_equal_finite_differences(x64):
    x, y = operands((2, 3), (4, 3), np.float64)

    @jax.jit
    def total(x, y):
        return jnp.sum(jnp.sin(einsum_float32("nd,md->nm", x, y)))

    check_grads(total, (x, y), 2, ["rev"], eps=1e-5)


def test_float64_with_float32_sums_in_float64_and_keeps_the_type_of_each_gradient(x64):
    x, _ = operands((5, 40), (7, 40), np.float64)
    _, y = operands((5, 40), (7, 40), np.float32)
    cotangent, got, gradients = run("nd,md->nm", x, y)
    assert got.dtype == jnp.float64
    np.testing.assert_allclose(got, exact("nd,md->nm", x, y), rtol=1e-13, atol=1e-13)
    x_gradient, y_gradient = gradients
    expected = exact_gradients("nd,md->nm", x, y, cotangent)
    assert (x_gradient.dtype, y_gradient.dtype) == (jnp.float64, jnp.float32)
    np.testing.assert_allclose(x_gradient, expected[0], rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(y_gradient, expected[1], rtol=1e-6, atol=1e-6)


def test_an_operand_shared_by_all_devices_gets_the_gradient_of_all():
    x, kernel = operands((16, 6), (6, 3))
    mesh = jax.make_mesh((8,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))

    def total(x, kernel):
        return jnp.sum(jnp.sin(einsum_float32("nd,de->ne", x, kernel)))

    def ring(x, kernel):
        return jax.lax.psum(total(x, kernel), "data")

    specs = jax.P("data"), jax.P()
    for check_vma in (True, False):
        mapped = jax.shard_map(
            ring, mesh=mesh, in_specs=specs, out_specs=jax.P(), check_vma=check_vma
        )
        got = jax.jit(jax.value_and_grad(mapped, (0, 1)))(x, kernel)
        expected = jax.value_and_grad(total, (0, 1))(x, kernel)
        jax.tree.map(
            lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5), got, expected
        )
