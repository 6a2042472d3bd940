"""Every loss as a ring over eight devices against the same batch on one device."""

import re
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding

from tests.reference.losses import (
    LOSSES,
    ONE_OF_EACH,
    assert_same,
    dense_of_features,
    inputs_of,
    quick_jit,
    row_words,
    streamed_of_features,
)
from tvdim_jax.losses import pairwise

P = jax.P
OTHER_KINDS = {"negatives", "weight_gradient"}
SOME = [*ONE_OF_EACH, *(loss for loss in LOSSES if OTHER_KINDS & set(loss.options))]
N, M, BLOCK = 24, 40, 2  # each device holds 3 rows and 5 columns, which blocks of 2 do not divide


def on_mesh(function, inputs, words, *, check_vma=True, block_size=BLOCK):
    """`function(inputs, words, block_size=, axis_name=)` of sharded features, and its arguments."""
    mesh = jax.make_mesh((8,), ("data",), axis_types=(AxisType.Auto,))
    numbers, params, x, y = inputs
    replicated, sharded = jax.tree.map(lambda _: P(), (numbers, params)), P("data")
    specs = ((*replicated, sharded, sharded), jax.tree.map(lambda _: sharded, words))
    local = partial(function, block_size=block_size, axis_name="data")
    ring = jax.shard_map(local, mesh=mesh, in_specs=specs, out_specs=P(), check_vma=check_vma)
    everywhere, parts = NamedSharding(mesh, P()), NamedSharding(mesh, sharded)
    whole = jax.device_put((numbers, params), everywhere)
    return ring, (*whole, *jax.device_put((x, y), parts)), jax.device_put(words, parts)


def both(loss, inputs, words, **how):
    """The compiled ring, its value and gradients, and those of the matrix on one device."""
    ring, *arguments = on_mesh(partial(streamed_of_features, loss), inputs, words, **how)
    compiled = quick_jit(jax.value_and_grad(ring)).lower(*arguments).compile()
    dense = quick_jit(jax.value_and_grad(partial(dense_of_features, loss)))
    return compiled, compiled(*arguments), dense(inputs, words)


@pytest.mark.parametrize("loss", SOME, ids=str)
def test_eight_devices_equal_one_and_gather_nothing(x64, loss):
    rng = np.random.default_rng(0)
    compiled, got, expected = both(loss, inputs_of(loss, rng, N, M), row_words(rng, N, M))
    assert_same(got, expected, "ring")
    program = compiled.as_text()
    assert "collective-permute" in program
    gathered = re.findall(r"(\w+)\[.*\sall-gather(?:-start)?\(", program)
    # The rank of a positive among equal ids needs the ids of all devices; features never.
    assert all(loss.name == "margin_ranking_loss" and dtype[0] == "s" for dtype in gathered)


@pytest.mark.parametrize(
    ("n", "m", "how"), [(8, 8, {}), (16, 8, {}), (N, M, {"check_vma": False, "block_size": None})]
)
def test_the_diagonal_runs_through_all_devices(x64, n, m, how):
    rng = np.random.default_rng(1)
    loss = ONE_OF_EACH[-1]
    _, got, expected = both(loss, inputs_of(loss, rng, n, m), {}, **how)
    assert_same(got, expected, str(how))


def test_two_mesh_axes_count_as_one(x64):
    rng = np.random.default_rng(4)
    loss = ONE_OF_EACH[0]
    axes = ("data", "fsdp")
    mesh = jax.make_mesh((4, 2), axes, axis_types=(AxisType.Auto,) * 2)
    numbers, params, *_ = inputs = inputs_of(loss, rng, N, M)
    local = partial(streamed_of_features, loss, block_size=BLOCK, axis_name=axes)
    specs = (*jax.tree.map(lambda _: P(), (numbers, params)), P(axes), P(axes))
    ring = jax.shard_map(local, mesh=mesh, in_specs=(specs, {}), out_specs=P())
    got = quick_jit(jax.value_and_grad(ring))(inputs, {})
    expected = quick_jit(jax.value_and_grad(partial(dense_of_features, loss)))(inputs, {})
    assert_same(got, expected, "two axes")


@pytest.mark.slow
@pytest.mark.parametrize(("block_size", "check_vma"), [(1, True), (4, True), (None, False)])
@pytest.mark.parametrize("loss", LOSSES, ids=str)
def test_each_block_and_mask_word_equals_one_device(x64, loss, block_size, check_vma):
    rng = np.random.default_rng(2)
    how = {"check_vma": check_vma, "block_size": block_size}
    words = row_words(rng, N, M)
    nobody = words | {"x_where": np.zeros(N, bool)}
    for each in ({}, words, nobody, {name: words[name] for name in words if "group" in name}):
        _, got, expected = both(loss, inputs_of(loss, rng, N, M), each, **how)
        assert_same(got, expected, str(sorted(each)))


@pytest.mark.parametrize("loss", ONE_OF_EACH, ids=str)
def test_pmap_equals_jit(x64, loss):
    rng = np.random.default_rng(3)
    inputs, words = inputs_of(loss, rng, N, M), row_words(rng, N, M)
    words = {name: words[name] for name in words if "where" in name}  # the diagonal is positive
    local = partial(streamed_of_features, loss, block_size=BLOCK, axis_name="data")
    mapped = jax.pmap(local, axis_name="data", in_axes=((None, None, 0, 0), 0))
    weights = np.arange(1, 9) / 36  # of the devices, all of which hold the value

    def value(inputs):
        numbers, params, x, y = inputs
        parts = jax.tree.map(
            lambda leaf: jnp.reshape(leaf, (8, -1, *leaf.shape[1:])), (x, y, words)
        )
        values = mapped((numbers, params, *parts[:2]), parts[2])
        return jnp.sum(weights * values), values

    (got, values), gradients = quick_jit(jax.value_and_grad(value, has_aux=True))(inputs)
    dense = quick_jit(jax.value_and_grad(partial(dense_of_features, loss)))
    expected = dense(inputs, words)
    np.testing.assert_allclose(values, np.full(8, expected[0]), rtol=1e-12)
    assert_same((got, gradients), expected, "pmap")


def test_gradients_taken_inside_the_mapped_function(x64):
    """Inside shard_map they are those of one device; inside pmap the mean of the devices is."""
    loss, rng = ONE_OF_EACH[0], np.random.default_rng(4)
    inputs = inputs_of(loss, rng, N, M)
    local = partial(streamed_of_features, loss, words={}, block_size=BLOCK, axis_name="data")
    expected = quick_jit(jax.grad(partial(dense_of_features, loss, words={})))(inputs)
    mesh = jax.make_mesh((8,), ("data",), axis_types=(AxisType.Auto,))
    specs = (P(), P(), P("data"), P("data"))
    inside = jax.shard_map(jax.grad(local), mesh=mesh, in_specs=(specs,), out_specs=specs)
    assert_same((0, quick_jit(inside)(inputs)), (0, expected), "shard_map")

    def mean_of_params(inputs):
        return jax.lax.pmean(jax.grad(local)(inputs)[1], "data")

    parts = jax.tree.map(lambda leaf: leaf.reshape(8, -1, *leaf.shape[1:]), inputs[2:])
    mapped = jax.pmap(mean_of_params, "data", in_axes=((None, None, 0, 0),), out_axes=None)
    assert_same((0, mapped((*inputs[:2], *parts))), (0, expected[1]), "pmap")


def test_forward_mode_is_refused():
    x = jnp.ones((6, 2))
    stream = partial(pairwise.info_nce_loss, lambda _, x, y: x @ y.T, y=x, block_size=2)
    with pytest.raises(TypeError, match="forward-mode"):
        jax.jvp(stream, (x,), (x,))
