"""Block sizes follow from what the critic makes for a tile; bad critics are told so."""

import jax
import jax.numpy as jnp
import pytest

from tvdim_jax.losses.blocks import check_critic, choose_block, largest_array, leading_size


def dot(params, x, y):
    del params
    return x @ y.T


def wide(params, x, y):
    """Makes [n, m, 1024] on the way."""
    hidden = jax.nn.relu(x[:, None, :] + y[None, :, :])
    return jnp.sum(hidden, axis=-1)


def features(num, width=4):
    return jax.ShapeDtypeStruct((num, width), jnp.float32)


def test_the_largest_array_is_found_inside_the_critic():
    assert largest_array(dot, (), features(100), features(50), (100, 50)) == 100 * 50 * 4
    inner = largest_array(wide, (), features(8, 1024), features(4, 1024), (8, 4))
    assert inner == 8 * 4 * 1024 * 4
    jitted = largest_array(jax.jit(wide), (), features(8, 1024), features(4, 1024), (8, 4))
    assert jitted == inner


def test_blocks_keep_the_largest_array_in_the_budget():
    assert choose_block(dot, (), features(2048), features(2048)) is None  # all at once
    assert choose_block(dot, (), features(100_000), features(100_000)) == 1024
    assert choose_block(wide, (), features(4096, 1024), features(4096, 1024)) == 32


def test_a_critic_that_closes_over_a_traced_value_is_told_so():
    x = jnp.ones((3, 4))

    def loss(weight):
        check_critic(lambda params, a, b: weight * (a @ b.T), (), x, x)
        return weight

    with pytest.raises(ValueError, match=r"closes over a traced value.*params=\.\.\."):
        jax.grad(loss)(1.0)


def test_scores_of_another_shape_are_told():
    with pytest.raises(ValueError, match=r"got scores of shapes \[\(3, 2, 4\)\], wanted \(3, 2\)"):
        check_critic(lambda p, a, b: a[:, None] * b[None], (), jnp.ones((3, 4)), jnp.ones((5, 4)))


def test_spec_of_several_scores():
    spec = check_critic(lambda p, a, b: (a @ b.T,) * 3, (), jnp.ones((3, 4)), jnp.ones((5, 4)))
    assert spec == (3, jnp.float32)


def test_leading_axes_that_differ_are_told():
    with pytest.raises(ValueError, match=r"x: got leaves of shapes .* share their leading axis"):
        leading_size("x", {"a": jnp.ones((3, 2)), "b": jnp.ones(4)})
