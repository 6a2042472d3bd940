"""Eight devices give the numbers of one; batches are split, the state is everywhere."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.sharding import AxisType, PartitionSpec

from tvdim_jax.prng import named_key
from tvdim_jax.train import sharding
from tvdim_jax.train.state import new_state
from tvdim_jax.train.step import make_train_step


def mesh_of(num_devices):
    return jax.make_mesh(
        (num_devices,), ("data",), axis_types=(AxisType.Auto,), devices=jax.devices()[:num_devices]
    )


def contrastive_loss(params, variables, batch, *, key, step):
    """Every row is every other row's negative, statistics are of the whole batch, dropout is on."""
    keep = jax.random.bernoulli(named_key(key, "dropout"), 0.8, batch["x"].shape)
    x = jnp.tanh(jnp.where(keep, batch["x"], 0.0) @ params["w"])
    mean = jnp.mean(x, axis=0)
    x = (x - mean[None]) / jnp.sqrt(jnp.var(x, axis=0) + 1e-3)[None]
    scores = x @ (batch["y"] @ params["v"]).T
    loss = -jnp.mean(jnp.diagonal(jax.nn.log_softmax(scores, axis=1)))
    return loss, ({"train/mean": jnp.mean(mean)}, {"mean": 0.9 * variables["mean"] + 0.1 * mean})


def run(num_devices, num_steps=4):
    rng = np.random.default_rng(0)
    params = {"w": rng.normal(size=(5, 4)), "v": rng.normal(size=(3, 4))}
    tx = optax.adam(0.05)
    mesh = mesh_of(num_devices)
    rows = sharding.split_over_data(mesh)
    params = jax.tree.map(lambda p: jnp.asarray(p, jnp.float32), params)
    state = new_state(params, {"mean": jnp.zeros(4)}, tx, jax.random.key(1))
    state = sharding.place(state, mesh)
    step = sharding.compile_step(make_train_step(contrastive_loss, tx), mesh)
    seen = []
    for _ in range(num_steps):
        batch = {
            "x": rng.normal(size=(16, 5)).astype(np.float32),
            "y": rng.normal(size=(16, 3)).astype(np.float32),
        }
        state, metrics = step(state, sharding.global_batch(batch, rows))
        seen.append(jax.device_get(metrics))
    return state, seen


def test_eight_devices_equal_one():
    (one, one_metrics), (eight, eight_metrics) = run(1), run(8)
    for a, b in zip(one_metrics, eight_metrics, strict=True):
        assert a.keys() == b.keys()
        for name in a:
            np.testing.assert_allclose(b[name], a[name], rtol=1e-5, atol=1e-6)
    losses = [row["train/loss"] for row in one_metrics]
    assert len(set(map(float, losses))) == 4
    for name in ("params", "variables"):
        jax.tree.map(
            lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5),
            getattr(one, name),
            getattr(eight, name),
        )
    # What ran on eight devices is whole on each of them.
    shards = eight.params["w"].addressable_shards
    assert len(shards) == 8
    for shard in shards:
        np.testing.assert_array_equal(shard.data, eight.params["w"])


def test_mesh_has_all_devices_on_one_automatic_axis():
    mesh = sharding.make_mesh()
    assert dict(mesh.shape) == {"data": 8}
    assert mesh.axis_types == (AxisType.Auto,)
    assert list(mesh.devices) == jax.devices()


def test_batch_rows_are_split_in_order():
    batch = {"x": np.arange(48).reshape(16, 3), "where": np.arange(16) % 3 == 0}
    got = sharding.global_batch(batch, sharding.split_over_data(sharding.make_mesh()))
    for name, whole in batch.items():
        assert got[name].shape == whole.shape
        assert got[name].dtype == (np.int32 if name == "x" else np.bool_)
        for index, shard in enumerate(got[name].addressable_shards):
            assert shard.device == jax.devices()[index]
            np.testing.assert_array_equal(shard.data, whole[2 * index : 2 * index + 2])


def test_state_is_replicated_and_the_one_handed_in_is_donated():
    mesh = sharding.make_mesh()
    tx = optax.sgd(0.1)
    state = sharding.place(new_state({"w": jnp.ones(3)}, {}, tx, jax.random.key(0)), mesh)
    for leaf in jax.tree.leaves(state):
        assert leaf.sharding.spec == PartitionSpec()
        assert leaf.sharding.device_set == set(jax.devices())

    def loss_fn(params, variables, batch, *, key, step):
        return jnp.mean(batch["x"]) * jnp.sum(params["w"]), ({}, variables)

    batch = sharding.global_batch(
        {"x": np.ones((8, 1), np.float32)}, sharding.split_over_data(mesh)
    )
    new, _ = sharding.compile_step(make_train_step(loss_fn, tx), mesh)(state, batch)
    assert state.params["w"].is_deleted()
    np.testing.assert_allclose(new.params["w"], 0.9)
    np.testing.assert_array_equal(batch["x"], 1)


@pytest.mark.parametrize(("batch_size", "num_devices"), [(8, 8), (480, 8), (6, 2), (5, 1)])
def test_divisible_batches_pass(batch_size, num_devices):
    sharding.check_divisible(batch_size, num_devices=num_devices, num_processes=1)


@pytest.mark.parametrize(("batch_size", "proposed"), [(15, 8), (17, 16), (5, 8)])
def test_error_names_batch_devices_processes_and_a_batch_that_fits(batch_size, proposed):
    text = (
        rf"a global batch of {batch_size} does not divide by 8 devices \(2 processes\); "
        rf"set --config.train.batch_size={proposed}, or another multiple of 8"
    )
    with pytest.raises(ValueError, match=text):
        sharding.check_divisible(batch_size, num_devices=8, num_processes=2)


def test_a_batch_is_rounded_up_to_the_devices():
    mesh = sharding.make_mesh()
    assert mesh.size == 8
    assert [sharding.whole_batch_size(size, mesh) for size in (1, 8, 9, 64)] == [8, 8, 16, 64]
