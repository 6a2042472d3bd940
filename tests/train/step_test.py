"""One update by hand, what a non-finite one leaves alone, and one compiled program per run."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from tvdim_jax.prng import step_key
from tvdim_jax.train.sharding import compile_step, global_batch, make_mesh, place, split_over_data
from tvdim_jax.train.state import new_state
from tvdim_jax.train.step import make_train_step

X = np.array([[1.0, 2.0], [3.0, -1.0]], np.float32)
Y = np.array([1.0, -2.0], np.float32)


def regression_loss(params, variables, batch, *, key, step):
    """Mean squared error; `bad_*` make the loss, or its gradient alone, not finite."""
    error = batch["x"] @ params["w"] - batch["y"]
    loss = jnp.mean(error**2) + batch["bad_loss"][0]
    # The root of 0 has a finite value and no finite gradient.
    root = 1.0 - batch["bad_gradient"][0]
    loss = loss + jnp.sqrt(root + 0.0 * params["w"][0]) - root
    seen = variables["seen"] + jnp.mean(batch["x"])
    return loss, ({"train/key": jax.random.uniform(key), "train/at": step * 1.0}, {"seen": seen})


def make_batch(*, bad_loss=0.0, bad_gradient=False):
    return {
        "x": jnp.asarray(X),
        "y": jnp.asarray(Y),
        "bad_loss": jnp.full(2, bad_loss, jnp.float32),
        "bad_gradient": jnp.full(2, bad_gradient, jnp.float32),
    }


def make_state(tx):
    return new_state({"w": jnp.array([0.5, -0.25])}, {"seen": jnp.zeros(())}, tx, jax.random.key(3))


def test_update_equals_hand_computation():
    # w x = [0, 1.75], error = [-1, 3.75], loss = (1 + 14.0625) / 2
    # gradient = 2/2 * sum error * x = -1 * [1, 2] + 3.75 * [3, -1] = [10.25, -5.75]
    tx = optax.sgd(0.1)
    state, metrics = make_train_step(regression_loss, tx)(make_state(tx), make_batch())
    np.testing.assert_allclose(state.params["w"], [0.5 - 1.025, -0.25 + 0.575], rtol=1e-6)
    np.testing.assert_allclose(state.variables["seen"], 1.25)
    np.testing.assert_allclose(metrics["train/loss"], 7.53125)
    np.testing.assert_allclose(metrics["train/grad_norm"], np.hypot(10.25, 5.75), rtol=1e-6)
    assert int(state.step) == 1
    assert metrics["train/nonfinite_steps"] == metrics["train/nonfinite_in_a_row"] == 0
    assert metrics["train/at"] == 0
    assert {m.dtype for m in metrics.values()} == {jnp.dtype("float32")}
    assert {m.shape for m in metrics.values()} == {()}


def test_momentum_is_carried_from_step_to_step():
    tx = optax.sgd(0.1, momentum=0.5)
    step = make_train_step(regression_loss, tx)
    state = make_state(tx)
    w, momentum = np.array([0.5, -0.25]), np.zeros(2)
    for _ in range(3):
        state, _ = step(state, make_batch())
        momentum = 0.5 * momentum + X.T @ (X @ w - Y)
        w = w - 0.1 * momentum
    np.testing.assert_allclose(state.params["w"], w, rtol=1e-5)


@pytest.mark.parametrize(
    "bad", [{"bad_loss": np.nan}, {"bad_loss": np.inf}, {"bad_gradient": True}], ids=str
)
def test_nonfinite_update_moves_only_step_and_counters(bad):
    tx = optax.adam(0.1)
    step = jax.jit(make_train_step(regression_loss, tx))
    good, _ = step(make_state(tx), make_batch())
    state, metrics = good, {}
    for count in (1, 2):
        state, metrics = step(state, make_batch(**bad))
        assert not np.isfinite(metrics["train/loss"]) or "bad_gradient" in bad
        assert not np.isfinite(metrics["train/grad_norm"]) or "bad_loss" in bad
        assert metrics["train/nonfinite_steps"] == metrics["train/nonfinite_in_a_row"] == count
    for name in ("params", "variables", "opt_state"):
        jax.tree.map(np.testing.assert_array_equal, getattr(state, name), getattr(good, name))
    assert [int(state.step), int(state.nonfinite_steps), int(state.nonfinite_in_a_row)] == [3, 2, 2]
    assert (jax.random.key_data(state.root_key) == jax.random.key_data(good.root_key)).all()

    state, metrics = step(state, make_batch())
    assert [int(state.step), int(state.nonfinite_steps), int(state.nonfinite_in_a_row)] == [4, 2, 0]
    assert np.isfinite(metrics["train/loss"])
    assert (state.params["w"] != good.params["w"]).all()
    # The optimizer counts updates made, not steps.
    assert int(state.opt_state[0].count) == 2


def test_key_of_a_step_is_folded_from_root_and_step_and_repeats():
    tx = optax.sgd(0.1)
    step = make_train_step(regression_loss, tx)
    state, drawn = make_state(tx), []
    for t in range(3):
        state, metrics = step(state, make_batch())
        drawn.append(float(metrics["train/key"]))
        assert drawn[t] == float(jax.random.uniform(step_key(jax.random.key(3), t)))
    assert len(set(drawn)) == 3


def test_step_traces_once_over_a_whole_run_also_from_a_restored_state():
    traces = []

    def counted(*args, **kwargs):
        traces.append(1)
        return regression_loss(*args, **kwargs)

    tx, mesh = optax.adam(0.1), make_mesh()
    step = compile_step(make_train_step(counted, tx), mesh)
    rows = split_over_data(mesh)

    def eight_rows(**bad):
        return jax.tree.map(lambda x: np.tile(x, (4,) + (1,) * (x.ndim - 1)), make_batch(**bad))

    state = place(make_state(tx), mesh)
    state, _ = step(state, global_batch(eight_rows(), rows))
    first = len(traces)
    for bad in ({}, {"bad_loss": np.nan}, {}):
        state, _ = step(state, global_batch(eight_rows(**bad), rows))
    restored = jax.device_put(jax.device_get(state.replace(root_key=None)), state.step.sharding)
    step(restored.replace(root_key=state.root_key), global_batch(eight_rows(), rows))
    assert len(traces) == first
