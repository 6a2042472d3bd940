"""A run that is stopped and goes on ends with the bits of the one that was not."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tvdim_jax.prng import named_key
from tvdim_jax.train import sharding
from tvdim_jax.train.checkpoint import Checkpoints
from tvdim_jax.train.digest import tree_digest
from tvdim_jax.train.loop import Hooks, train
from tvdim_jax.train.optimizer import make_optimizer, make_schedule
from tvdim_jax.train.state import new_state
from tvdim_jax.train.step import make_train_step

MESH = sharding.make_mesh()
TX = make_optimizer(
    make_schedule(learning_rate=0.01, warmup_steps=4, schedule="cosine", num_steps=12)
)


def noisy_loss(params, variables, batch, *, key, step):
    """Two layers with dropout, noise in the input, a running mean, and a loss over the batch."""
    noise = jax.random.normal(named_key(key, "augment"), batch["x"].shape)
    keep = jax.random.bernoulli(named_key(key, "dropout"), 0.7, (8, 6))
    hidden = jnp.tanh((batch["x"] + 0.1 * noise) @ params["w"]) * keep
    out = hidden @ params["v"]
    mean = 0.9 * variables["mean"] + 0.1 * jnp.mean(hidden, axis=0)
    loss = -jnp.mean(jnp.diagonal(jax.nn.log_softmax(out @ batch["y"].T, axis=1)))
    return loss, ({}, {"mean": mean})


STEP = sharding.compile_step(make_train_step(noisy_loss, TX), MESH)


def batches_from(step):
    """The n-th batch is a function of n, as the data pipeline has it."""
    rows = sharding.split_over_data(MESH)
    for index in itertools.count(step):
        rng = np.random.default_rng(index)
        x = rng.normal(size=(8, 5)).astype(np.float32)
        batch = {"x": x, "y": x[:, :3] + 1}
        if index == 5:  # one update is skipped, before and after a stop
            batch["x"] = np.full_like(x, np.nan)
        yield sharding.global_batch(batch, rows)


def first_state():
    rng = np.random.default_rng(0)
    params = {
        "w": jnp.asarray(rng.normal(size=(5, 6)), jnp.float32),
        "v": jnp.asarray(rng.normal(size=(6, 3)), jnp.float32),
    }
    return new_state(params, {"mean": jnp.zeros(6)}, TX, jax.random.key(11))


def run_in(folder, *, stop_at=None):
    """Starts or goes on in a folder; returns the last state and the log rows."""
    rows = {}
    target = jax.tree.map(
        lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding.replicated(MESH)),
        jax.eval_shape(first_state),
    )
    with Checkpoints(folder, facts={"seed": 11}) as checkpoints:
        state = checkpoints.restore_latest(target)
        state = sharding.place(first_state(), MESH) if state is None else state
        hooks = Hooks(
            log=rows.__setitem__,
            save=checkpoints.save,
            evaluate=lambda step, state: None,
            should_stop=lambda step: step == stop_at,
            save_bad_batch=lambda step, batch: None,
        )
        state = train(
            state,
            batches_from(int(state.step)),
            STEP,
            hooks,
            num_steps=12,
            batch_size=8,
            log_every=1,
            checkpoint_every=4,
        )
    return state, rows


@pytest.mark.parametrize("stops", [(4,), (5, 6, 7)])
def test_stop_and_resume_give_the_bits_of_the_uninterrupted_run(tmp_path, stops):
    whole, whole_rows = run_in(tmp_path / "whole")
    rows = {}
    for stop in stops:
        state, part = run_in(tmp_path / "parts", stop_at=stop)
        assert int(state.step) == stop
        rows |= part
    state, part = run_in(tmp_path / "parts")
    rows |= part
    assert int(state.step) == 12
    assert int(state.nonfinite_steps) == 1
    assert tree_digest(state) == tree_digest(whole)
    for a, b in zip(jax.tree.leaves(state.params), jax.tree.leaves(whole.params), strict=True):
        np.testing.assert_array_equal(a, b)
    for step, row in whole_rows.items():
        for name, value in row.items():
            if name.startswith("train/"):
                np.testing.assert_array_equal(rows[step][name], value)
    assert len({row["train/loss"] for row in whole_rows.values()}) == 12


def test_another_seed_gives_other_bits(tmp_path):
    """The test above can fail: the noise reaches the parameters."""
    whole, _ = run_in(tmp_path)
    state = sharding.place(first_state().replace(root_key=jax.random.key(12)), MESH)
    for batch in itertools.islice(batches_from(0), 12):
        state, _ = STEP(state, batch)
    assert not np.array_equal(state.params["w"], whole.params["w"])
