"""The optimizer against NumPy loops of torch's Adam, the schedule against the spec's numbers."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from tvdim_jax.train.optimizer import make_adamw, make_optimizer, make_schedule

BASE = {"learning_rate": 0.2, "warmup_steps": 0, "num_steps": 100}


def torch_adam(params, grads, *, lr, b1, b2, eps, weight_decay):
    """torch.optim.Adam(weight_decay=): one array, L2 goes into both moments."""
    m = v = np.zeros_like(params)
    for t, grad in enumerate(grads, 1):
        g = grad + weight_decay * params
        m = b1 * m + (1 - b1) * g
        v = b2 * v + (1 - b2) * g**2
        denominator = np.sqrt(v) / np.sqrt(1 - b2**t) + eps
        params = params - lr(t - 1) / (1 - b1**t) * m / denominator
    return params


def run(tx, params, grads):
    state = tx.init(params)
    for grad in grads:
        updates, state = tx.update(grad, state, params)
        params = optax.apply_updates(params, updates)
    return params


@pytest.mark.parametrize("options", [{}, {"b1": 0.6, "b2": 0.9, "eps": 1e-3, "weight_decay": 0.3}])
def test_five_updates_equal_torch_adam_with_l2_on_every_leaf(x64, options):
    rng = np.random.default_rng(0)
    params = {"kernel": rng.normal(size=(3, 2)), "bias": rng.normal(size=2), "scale": np.ones(2)}
    grads = [{name: rng.normal(size=p.shape) for name, p in params.items()} for _ in range(5)]
    schedule = make_schedule(learning_rate=2e-2, warmup_steps=3, schedule="constant", num_steps=5)
    got = run(make_optimizer(schedule, **options), params, grads)
    spec = {"b1": 0.8, "b2": 0.999, "eps": 1e-8, "weight_decay": 1e-5, **options}
    for name, start in params.items():
        wanted = torch_adam(
            start, [g[name] for g in grads], lr=lambda t: 2e-2 * min(1, (t + 1) / 3), **spec
        )
        np.testing.assert_allclose(got[name], wanted, rtol=1e-6)  # the schedule is in float32
        assert np.abs(wanted - start).min() > 1e-3


def test_weight_decay_is_l2_and_not_decoupled():
    # Without a gradient, Adam turns any L2 term into a step of the learning rate.
    tx = make_optimizer(optax.constant_schedule(0.1), weight_decay=1e-3, eps=1e-12)
    got = run(tx, jnp.array([2.0, -3.0]), [jnp.zeros(2)])
    np.testing.assert_allclose(got, [1.9, -2.9], rtol=1e-4)


def test_clip_scales_the_global_norm_before_the_l2_term():
    params = {"a": jnp.array([1.0]), "b": jnp.array([2.0])}
    grads = {"a": jnp.array([3.0]), "b": jnp.array([4.0])}  # norm 5
    options = {"weight_decay": 0.5, "eps": 1.0}
    schedule = optax.constant_schedule(1.0)
    for norm, factor in ((0.0, 1.0), (2.5, 0.5), (10.0, 1.0)):
        got = run(make_optimizer(schedule, clip_norm=norm, **options), params, [grads])
        for name, start in params.items():
            g = factor * float(grads[name][0]) + 0.5 * float(start[0])
            np.testing.assert_allclose(got[name][0], start[0] - g / (abs(g) + 1), rtol=1e-4)


@pytest.mark.parametrize("kind", ["constant", "cosine", "step"])
@pytest.mark.parametrize(
    ("t", "factor"), [(0, 1 / 500), (1, 2 / 500), (249, 0.5), (498, 499 / 500), (499, 1), (500, 1)]
)
def test_warmup_is_that_of_the_spec(kind, t, factor):
    schedule = make_schedule(
        learning_rate=2e-4, warmup_steps=500, schedule=kind, num_steps=2_000, step_boundaries=(900,)
    )
    np.testing.assert_allclose(schedule(t), 2e-4 * factor, rtol=0, atol=2e-10)  # float32


@pytest.mark.parametrize("warmup_steps", [0, 1])
def test_no_warmup_starts_at_the_peak(warmup_steps):
    schedule = make_schedule(**{**BASE, "warmup_steps": warmup_steps}, schedule="constant")
    np.testing.assert_allclose([schedule(t) for t in (0, 1, 2, 99)], 0.2, rtol=1e-6)


@pytest.mark.parametrize("warmup_steps", [0, 20])
def test_cosine_goes_from_the_peak_to_zero_at_the_end(warmup_steps):
    schedule = make_schedule(**{**BASE, "warmup_steps": warmup_steps}, schedule="cosine")
    for t in (warmup_steps, 40, 60, 99, 100):
        wanted = 0.1 * (1 + np.cos(np.pi * (t - warmup_steps) / (100 - warmup_steps)))
        np.testing.assert_allclose(schedule(t), wanted, atol=1e-7)
    assert schedule(100) == schedule(150) == 0


def test_cosine_of_a_run_that_is_all_warmup_is_finite():
    schedule = make_schedule(**{**BASE, "warmup_steps": 200}, schedule="cosine")
    np.testing.assert_allclose([schedule(0), schedule(99)], [0.001, 0.1], rtol=1e-4)


@pytest.mark.parametrize("warmup_steps", [0, 10])
def test_step_drops_at_its_update_and_not_before(warmup_steps):
    schedule = make_schedule(
        **{**BASE, "warmup_steps": warmup_steps},
        schedule="step",
        step_boundaries=(30, 45),
        step_factor=0.5,
    )
    rates = [float(schedule(t)) for t in (29, 30, 44, 45, 99)]
    np.testing.assert_allclose(rates, [0.2, 0.1, 0.1, 0.05, 0.05], rtol=1e-6)


def test_update_number_t_uses_the_rate_of_t():
    tx = make_optimizer(
        make_schedule(**BASE, schedule="step", step_boundaries=(2,), step_factor=0.1),
        weight_decay=0.0,
        b1=0.0,
        b2=0.0,
        eps=0.0,
    )  # each update is the rate times the sign
    path = [run(tx, jnp.array(0.0), [jnp.array(-1.0)] * n) for n in range(5)]
    np.testing.assert_allclose(np.diff(path), [0.2, 0.2, 0.02, 0.02], rtol=1e-4)


def test_schedule_and_optimizer_run_under_jit():
    tx = make_optimizer(make_schedule(**BASE, schedule="cosine"), clip_norm=1.0)
    params = {"w": jnp.ones(2)}
    eager = run(tx, params, [params] * 2)
    jitted = jax.jit(lambda p: run(tx, p, [p] * 2))(params)
    np.testing.assert_allclose(eager["w"], jitted["w"], rtol=1e-6)


def test_unknown_schedule_is_an_error():
    with pytest.raises(ValueError, match="unknown schedule 'exp', wanted constant, cosine or step"):
        make_schedule(**BASE, schedule="exp")


def test_adamw_is_that_of_torch():
    """Two leaves, of which the bias does not decay, by hand in float64."""
    options = {"b1": 0.7, "b2": 0.95, "eps": 0.01}
    tx = make_adamw(optax.constant_schedule(0.1), weight_decay=0.3, **options)
    rng = np.random.default_rng(0)
    start = {"kernel": rng.normal(size=3), "bias": rng.normal(size=3)}
    grads = [{name: rng.normal(size=3) for name in start} for _ in range(5)]
    to_jax = jax.tree_util.Partial(jnp.asarray, dtype=jnp.float32)
    got = run(tx, jax.tree.map(to_jax, start), jax.tree.map(to_jax, grads))
    for name, first in start.items():
        x, m, v = first, np.zeros(3), np.zeros(3)
        for t, each in enumerate(grads):
            m = 0.7 * m + 0.3 * each[name]
            v = 0.95 * v + 0.05 * each[name] ** 2
            x = x * (1 - 0.1 * 0.3 * (name == "kernel"))
            x = x - 0.1 * (m / (1 - 0.7 ** (t + 1))) / (np.sqrt(v / (1 - 0.95 ** (t + 1))) + 0.01)
        np.testing.assert_allclose(got[name], x, rtol=1e-5)


def test_adamw_clips_the_global_norm():
    tx = make_adamw(optax.constant_schedule(1.0), b1=0.0, b2=0.0, eps=1.0, clip_norm=0.5)
    got = run(tx, {"bias": jnp.zeros(4)}, [{"bias": jnp.full(4, 10.0)}])
    np.testing.assert_allclose(got["bias"], -0.25 / 1.25, rtol=1e-5)
