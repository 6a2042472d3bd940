"""Soft targets against the loop, finite differences, tiles and devices."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType

from tests.reference import numpy_losses
from tests.reference.losses import assert_same, quick_jit, row_words
from tvdim_jax.losses import pairwise
from tvdim_jax.losses.distillation import distillation_loss

N, M, TAU = 5, 7, 0.4


def tables(seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(N, M)), rng.normal(size=(N, M))


def critic(params, x, y):
    return tuple(params * (x[name] @ y[name].T) for name in ("student", "momentum"))


def features(n, m, width=3):
    rng = np.random.default_rng(4)
    return [
        {name: rng.normal(size=(size, width)) for name in ("student", "momentum")}
        for size in (n, m)
    ]


@pytest.mark.parametrize("symmetric", [True, False])
def test_equal_to_the_loop_with_masks(x64, symmetric):
    options = {"temperature": TAU, "symmetric": symmetric}
    for words in ({}, row_words(np.random.default_rng(1), N, M)):
        got = quick_jit(partial(distillation_loss, **options))(*tables(), **words)
        expected = numpy_losses.distillation_loss(*tables(), **options, **words)
        assert expected > 0
        np.testing.assert_allclose(got, expected, rtol=1e-12)


def test_gradients_teach_the_scores_alone(x64):
    scores, target = tables()
    words = row_words(np.random.default_rng(1), N, M)

    def loss(scores, target, temperature):
        return distillation_loss(scores, target, temperature=temperature, **words)

    by_scores, by_target, by_tau = quick_jit(jax.grad(loss, (0, 1, 2)))(scores, target, TAU)
    assert not np.any(by_target)
    step = 1e-6
    for index in np.ndindex(N, M):
        shift = np.zeros((N, M))
        shift[index] = step
        ends = [
            numpy_losses.distillation_loss(scores + s * shift, target, temperature=TAU, **words)
            for s in (1, -1)
        ]
        np.testing.assert_allclose(by_scores[index], (ends[0] - ends[1]) / (2 * step), atol=1e-8)
    # The temperature of the scores moves, that of the targets does not.
    ends = [
        numpy_losses.distillation_loss(scores / (1 + s * step), target, temperature=TAU, **words)
        for s in (1, -1)
    ]
    np.testing.assert_allclose(by_tau, (ends[0] - ends[1]) / (2 * step * TAU), rtol=1e-6)


def test_a_critic_that_is_its_own_target_has_no_gradient_and_gives_the_entropy(x64):
    scores, _ = tables()
    value, gradient = jax.value_and_grad(
        partial(distillation_loss, temperature=TAU, symmetric=False)
    )(scores, scores)
    probs = np.exp(scores / TAU) / np.exp(scores / TAU).sum(1, keepdims=True)
    np.testing.assert_allclose(value, -np.mean(np.sum(probs * np.log(probs), 1)), rtol=1e-12)
    np.testing.assert_allclose(gradient, 0, atol=1e-14)


def test_tiles_and_devices_equal_the_matrix(x64):
    n = 16
    x, y = features(n, n)
    words = row_words(np.random.default_rng(2), n, n)
    mesh = jax.make_mesh((8,), ("rows",), axis_types=(AxisType.Auto,))
    split = jax.P("rows")

    def dense(params, x, y):
        return distillation_loss(*critic(params, x, y), temperature=TAU, **words)

    def streamed(params, x, y, words=words, **how):
        options = {"temperature": TAU, "params": params, **how}
        return pairwise.distillation_loss(critic, x, y, **options, **words)

    def on_devices(params, x, y):
        ring = partial(streamed, block_size=2, axis_name="rows")
        specs = (jax.P(), split, split, split)
        return jax.shard_map(ring, mesh=mesh, in_specs=specs, out_specs=jax.P())(
            params, x, y, words
        )

    losses = [dense, partial(streamed, block_size=3), on_devices]
    found = [
        quick_jit(jax.value_and_grad(loss, (0, 1, 2)))(np.asarray(0.7), x, y) for loss in losses
    ]
    for got in found[1:]:
        assert_same(got, found[0], "streamed")


def test_extremes():
    run = quick_jit(jax.value_and_grad(partial(distillation_loss, temperature=1.0)))
    eye = np.eye(N, M, dtype=bool)
    large = np.where(eye, 1e4, -1e4).astype(np.float32)
    value, gradient = run(large, large)
    assert float(value) == 0
    assert np.all(np.isfinite(gradient))
    value, _ = run(large, -large)
    assert 1.9e4 < float(value) <= 2e4
    near = (1e4 + np.random.default_rng(0).normal(size=(N, M))).astype(np.float32)
    expected = numpy_losses.distillation_loss(np.float64(near), np.float64(near), temperature=1.0)
    np.testing.assert_allclose(run(near, near)[0], expected, rtol=1e-6)
    for words in ({"x_where": np.zeros(N, bool)}, {"where": eye}):
        masked = quick_jit(
            jax.value_and_grad(partial(distillation_loss, temperature=1.0, **words), (0, 1))
        )
        hole = np.where(eye & ("where" in words), 1.0, np.nan).astype(np.float32)
        value, gradients = masked(hole, hole)
        assert float(value) == 0
        assert not any(np.any(leaf) for leaf in gradients)


def test_a_target_is_needed():
    with pytest.raises(ValueError, match="target: got 1 scores of each pair, wanted two"):
        distillation_loss(jnp.zeros((2, 2)), temperature=1.0)
    with pytest.raises(ValueError, match="temperature: got 0"):
        distillation_loss(jnp.zeros((2, 2)), jnp.zeros((2, 2)), temperature=0.0)
