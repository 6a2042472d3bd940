"""The optimizer recipe of the LMI release: its stored numbers, and a NumPy loop of the equation."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from tvdim_jax.train.adamw import (
    adamw_without_bias_correction,
    all_but_biases_and_scales,
    make_linear_schedule,
)
from tvdim_jax.train.optimizer import make_optimizer

with np.load(Path(__file__).parents[1] / "data/lmi_optimizer.npz", allow_pickle=False) as file:
    VECTORS = {name: file[name] for name in file.files}
LR, B1, B2, EPS, DECAY = (float(value) for value in VECTORS["hyper_lr_b1_b2_eps_wd"])
OPTIONS = {"b1": B1, "b2": B2, "eps": EPS, "weight_decay": DECAY}
SCHEDULE = make_linear_schedule(learning_rate=LR, warmup_steps=2, num_steps=20)


def trajectory(tx, params, grads):
    """The parameters after each update, as a list."""
    state, path, update = tx.init(params), [], jax.jit(tx.update)
    for grad in grads:
        updates, state = update(grad, state, params)
        params = optax.apply_updates(params, updates)
        path.append(params)
    return path


def release_loop(p, grads, rates, *, b1, b2, eps, weight_decay):
    """The equation in float64, one array."""
    m = v = np.zeros_like(p)
    path = []
    for g, rate in zip(grads, rates, strict=True):
        m = b1 * m + (1 - b1) * g
        v = b2 * v + (1 - b2) * g**2
        p = p - rate * m / (np.sqrt(v) + eps)
        p = p - rate * weight_decay * p
        path.append(p)
    return np.array(path)


def test_the_schedule_of_the_release():
    rates = np.array([SCHEDULE(t) for t in range(20)])
    np.testing.assert_allclose(rates, VECTORS["lr_used"], rtol=2e-7, atol=0)
    assert rates[0] == SCHEDULE(20) == SCHEDULE(99) == 0
    assert rates[2] == np.float32(LR)


def test_twenty_updates_of_the_release():
    start = {"kernel": jnp.asarray(VECTORS["w_init"]), "bias": jnp.asarray(VECTORS["b_init"])}
    grads = [{"kernel": jnp.asarray(w), "bias": jnp.asarray(b)} for w, b in VECTORS["grads"]]
    path = trajectory(adamw_without_bias_correction(SCHEDULE, **OPTIONS), start, grads)
    for name, wanted in (("kernel", "w_traj"), ("bias", "b_traj")):
        got = np.array([params[name] for params in path])
        np.testing.assert_allclose(got, VECTORS[wanted], rtol=0, atol=3e-7)
        np.testing.assert_array_equal(got[0], start[name])  # the first rate is 0


def test_a_constant_rate_tells_the_decay_after_the_step_from_that_of_adamw():
    schedule = optax.constant_schedule(1e-2)
    start, grads = jnp.asarray(VECTORS["w_init"]), list(jnp.asarray(VECTORS["grads"][:, 0]))
    wanted = VECTORS["w_traj_const_lr_1e-2"]
    got = np.array(trajectory(adamw_without_bias_correction(schedule, **OPTIONS), start, grads))
    np.testing.assert_allclose(got, wanted, rtol=0, atol=1e-6)
    before = release_loop(start, np.asarray(grads), [1e-2] * 20, **{**OPTIONS, "weight_decay": 0})
    assert np.abs(before - wanted).max() > 1e-3
    corrected = np.array(trajectory(optax.adamw(schedule, B1, B2, EPS, weight_decay=DECAY), start,
                                    grads))  # fmt: skip
    assert np.abs(corrected - wanted).max() > 1e-3


def test_the_adam_of_the_image_encoder_and_the_critic():
    tx = make_optimizer(optax.constant_schedule(5e-4), b1=0.9, b2=0.999, weight_decay=0.0)
    path = trajectory(tx, jnp.asarray(VECTORS["w_init"]), list(jnp.asarray(VECTORS["grads"][:, 0])))
    np.testing.assert_allclose(path, VECTORS["w_traj_img_adam_5e-4"], rtol=0, atol=3e-7)


def test_other_options_equal_the_loop_in_double_precision(x64):
    rng = np.random.default_rng(0)
    options = {"b1": 0.5, "b2": 0.7, "eps": 1e-2, "weight_decay": 0.4}
    start, grads = rng.normal(size=(3, 2)), rng.normal(size=(6, 3, 2))
    tx = adamw_without_bias_correction(
        lambda t: jnp.where(t < 3, 0.1, 0.02).astype(jnp.float64), **options
    )
    wanted = release_loop(start, grads, [0.1] * 3 + [0.02] * 3, **options)
    got = trajectory(tx, jnp.asarray(start), list(jnp.asarray(grads)))
    np.testing.assert_allclose(got, wanted, rtol=1e-12)


def test_names_decide_what_decays_and_not_axes():
    params = {
        "layers": {"dense": {"kernel": 0, "bias": np.zeros((12, 4))}, "norm": {"scale": 0}},
        "positions": np.zeros(3),
        "bias_of_names": [1, 2],
    }
    assert all_but_biases_and_scales(params) == {
        "layers": {"dense": {"kernel": True, "bias": False}, "norm": {"scale": False}},
        "positions": True,
        "bias_of_names": [True, True],
    }


def test_a_mask_of_the_caller():
    params = {"a": jnp.array([2.0]), "b": jnp.array([2.0])}
    tx = adamw_without_bias_correction(
        optax.constant_schedule(0.5), weight_decay=0.1, decays=lambda p: {"a": False, "b": True}
    )
    (end,) = trajectory(tx, params, [jax.tree.map(jnp.zeros_like, params)])
    np.testing.assert_allclose([end["a"][0], end["b"][0]], [2.0, 1.9], rtol=1e-6)


@pytest.mark.parametrize(("warmup", "wanted"), [(0, [1, 0.75, 0.5, 0.25, 0]), (3, [0, 1 / 3])])
def test_linear_schedule(warmup, wanted):
    schedule = make_linear_schedule(learning_rate=1.0, warmup_steps=warmup, num_steps=4)
    np.testing.assert_allclose([schedule(t) for t in range(len(wanted))], wanted, rtol=1e-6)


@pytest.mark.parametrize("warmup", [-1, 4])
def test_a_warmup_as_long_as_the_run_is_an_error(warmup):
    with pytest.raises(ValueError, match=f"got {warmup} warm-up updates of 4, wanted at least 0"):
        make_linear_schedule(learning_rate=1.0, warmup_steps=warmup, num_steps=4)


def test_parameters_are_needed():
    tx = adamw_without_bias_correction(SCHEDULE)
    with pytest.raises(ValueError, match="got no parameters, which the decay needs"):
        tx.update(jnp.ones(2), tx.init(jnp.ones(2)))
