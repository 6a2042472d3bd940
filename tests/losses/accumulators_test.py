"""Reducing in pieces equals reducing at once, and gradients follow from the result alone."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tvdim_jax.losses.accumulators import LOG_SUM_EXP, SUM, Largest, accumulate

VALUES = np.random.default_rng(0).normal(size=(5, 12)).astype(np.float32) * 3
VALUES[2] = -np.inf  # an anchor without candidates
VALUES[0, 3:7] = -np.inf
FINITE = np.where(-np.inf < VALUES, VALUES, 0)


@pytest.mark.parametrize(("kind", "values"), [(SUM, FINITE), (LOG_SUM_EXP, VALUES)])
@pytest.mark.parametrize("axis", [-1, -2])
def test_pieces_merge_to_the_whole(kind, values, axis):
    num = values.shape[axis]
    state = kind.empty(jnp.zeros(values.shape[0 if axis == -1 else 1]))
    for start, stop in ((0, 1), (1, 4), (4, num)):
        piece = jnp.asarray(np.take(values, range(start, stop), axis))
        state = kind.merge(state, kind.reduce(piece, axis, jnp.arange(start, stop)))
    for part, whole in zip(
        jax.tree.leaves(kind.result(state)),
        jax.tree.leaves(accumulate(kind, jnp.asarray(values), axis)),
        strict=True,
    ):
        np.testing.assert_allclose(part, whole, rtol=1e-6, atol=1e-6)


def test_logsumexp_in_two_parts():
    got = accumulate(LOG_SUM_EXP, jnp.asarray(VALUES), -1)
    with np.errstate(divide="ignore"):
        wanted = np.log(np.sum(np.exp(VALUES.astype(np.float64)), axis=1))
    wanted[2] = 0  # nothing accumulated
    np.testing.assert_allclose(got.best + got.log_sum, wanted, rtol=1e-6)


def test_logsumexp_gradient_is_the_softmax():
    gradient = jax.grad(lambda v: jnp.sum(accumulate(LOG_SUM_EXP, v, -1).log_sum))(
        jnp.asarray(VALUES)
    )
    exponentials = np.exp(VALUES.astype(np.float64))
    sums = exponentials.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(gradient, exponentials / np.where(sums > 0, sums, 1), atol=1e-6)


@pytest.mark.parametrize("k", [1, 3])
def test_largest_in_any_order_is_the_first_of_equals(k):
    values = jnp.asarray([[1.0, 7.0, 7.0, 3.0, 7.0, 2.0]])
    kind = Largest(k)
    pieces = [kind.reduce(values[:, s : s + 2], -1, jnp.arange(s, s + 2)) for s in (4, 0, 2)]
    state = kind.empty(jnp.zeros(1))
    for piece in pieces:
        state = kind.merge(state, piece)
    np.testing.assert_array_equal(state.values[:, 0], [7.0] * k)
    np.testing.assert_array_equal(state.places[:, 0], [1, 2, 4][:k])
    whole = accumulate(kind, values, -1)
    np.testing.assert_array_equal(whole.places, state.places)


def test_largest_sends_its_gradient_to_what_it_chose():
    gradient = jax.grad(lambda v: accumulate(Largest(2), v, -2).values[1, 0])(
        jnp.asarray([[5.0, 0.0], [9.0, 0.0], [7.0, 0.0]])
    )
    np.testing.assert_array_equal(gradient, [[0, 0], [0, 0], [1, 0]])


def test_largest_of_fewer_candidates_is_filled():
    found = accumulate(Largest(3), jnp.asarray([[2.0, 4.0]]), -1)
    np.testing.assert_array_equal(found.values[:, 0], [4.0, 2.0, -np.inf])


def test_a_nan_is_the_largest_in_whatever_order_the_tiles_come():
    kind = Largest(2)
    index = jnp.arange(3, dtype=jnp.int32)
    parts = [[1.0, jnp.nan, 3.0], [5.0, 2.0, 4.0]]
    first, second = (
        kind.reduce(jnp.asarray([part]), -1, index + 3 * i) for i, part in enumerate(parts)
    )
    for merged in (kind.merge(first, second), kind.merge(second, first)):
        np.testing.assert_array_equal(merged.values[:, 0], [np.nan, 5.0])
        np.testing.assert_array_equal(merged.places[:, 0], [1, 3])
