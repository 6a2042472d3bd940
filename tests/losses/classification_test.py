import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads
from sklearn.metrics import log_loss

from tvdim_jax.losses.classification import (
    sigmoid_cross_entropy_loss,
    softmax_cross_entropy_loss,
)


def drawn(seed=0):
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(7, 4)).astype(np.float32)
    return logits, rng.integers(0, 4, 7), rng.random((7, 4)) < 0.5, rng.random((7, 4)) < 0.6


def test_by_hand():
    logits = jnp.array([[0.0, jnp.log(3.0)], [0.0, 0.0]])
    found = softmax_cross_entropy_loss(logits, jnp.array([1, 0]))
    np.testing.assert_allclose(found, (np.log(4 / 3) + np.log(2)) / 2, rtol=1e-6)
    found = sigmoid_cross_entropy_loss(logits, jnp.array([[True, False], [True, True]]))
    np.testing.assert_allclose(found, (3 * np.log(2) + np.log(4)) / 4, rtol=1e-6)


def test_equal_sklearn():
    logits, labels, several, known = drawn()
    shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    wanted = log_loss(labels, shares, labels=range(4))
    np.testing.assert_allclose(softmax_cross_entropy_loss(logits, labels), wanted, rtol=1e-5)
    shares = 1 / (1 + np.exp(-logits[known]))
    wanted = log_loss(several[known], shares)
    found = sigmoid_cross_entropy_loss(logits, several, where=known)
    np.testing.assert_allclose(found, wanted, rtol=1e-5)


def test_a_mask_is_a_subset_and_hides_nan():
    logits, labels, several, known = drawn()
    rows = np.arange(7) % 3 > 0
    subset = softmax_cross_entropy_loss(logits[rows], labels[rows])
    broken = np.where(rows[:, None], logits, np.nan)
    strange = np.where(rows, labels, -9)
    value, gradient = jax.value_and_grad(softmax_cross_entropy_loss)(broken, strange, where=rows)
    np.testing.assert_allclose(value, subset, rtol=1e-6)
    assert (gradient[~rows] == 0).all()
    broken = np.where(known, logits, np.inf)
    value, gradient = jax.value_and_grad(sigmoid_cross_entropy_loss)(broken, several, where=known)
    np.testing.assert_allclose(
        value, sigmoid_cross_entropy_loss(logits, several, where=known), rtol=1e-6
    )
    assert np.isfinite(gradient).all()
    assert (gradient[~known] == 0).all()


def test_nothing_known_is_zero():
    logits, labels, several, _ = drawn()
    for loss, target, where in (
        (softmax_cross_entropy_loss, labels, np.zeros(7, bool)),
        (sigmoid_cross_entropy_loss, several, np.zeros((7, 4), bool)),
    ):
        value, gradient = jax.value_and_grad(loss)(logits, target, where=where)
        assert float(value) == 0
        assert (gradient == 0).all()


def test_extremes():
    logits = jnp.array([[1e4, -1e4], [-1e4, 1e4]])
    np.testing.assert_allclose(softmax_cross_entropy_loss(logits, jnp.array([0, 0])), 1e4)
    same = jnp.array([[True, False], [False, True]])
    assert float(sigmoid_cross_entropy_loss(logits, same)) == 0
    np.testing.assert_allclose(sigmoid_cross_entropy_loss(logits, ~same), 1e4)


@pytest.mark.usefixtures("x64")
def test_gradients_under_jit_vmap_and_in_half_precision():
    logits, labels, several, known = drawn()
    double = jnp.asarray(logits, jnp.float64)
    check_grads(lambda z: softmax_cross_entropy_loss(z, labels), (double,), 1, ["rev"])
    check_grads(
        lambda z: sigmoid_cross_entropy_loss(z, several, where=known), (double,), 1, ["rev"]
    )
    rows = jax.jit(jax.vmap(softmax_cross_entropy_loss))(logits, labels)
    np.testing.assert_allclose(rows.mean(), softmax_cross_entropy_loss(logits, labels), rtol=1e-5)
    half = softmax_cross_entropy_loss(jnp.asarray(logits, jnp.bfloat16), labels)
    assert half.dtype == jnp.float32
