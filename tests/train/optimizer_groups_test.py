"""Each group as if it were alone, in a state that a checkpoint gives back bit for bit."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from tvdim_jax.train import sharding
from tvdim_jax.train.adamw import adamw_without_bias_correction, make_linear_schedule
from tvdim_jax.train.checkpoint import Checkpoints
from tvdim_jax.train.digest import tree_digest
from tvdim_jax.train.optimizer import make_optimizer
from tvdim_jax.train.optimizer_groups import make_grouped_optimizer
from tvdim_jax.train.state import new_state
from tvdim_jax.train.step import make_train_step

MESH = sharding.make_mesh()


def adam(learning_rate, clip_norm=0.0):
    schedule = optax.constant_schedule(learning_rate)
    return make_optimizer(schedule, b1=0.9, weight_decay=0.0, clip_norm=clip_norm)


GROUPS = {
    "encoder": adam(5e-4, clip_norm=0.1),
    "text": adamw_without_bias_correction(
        make_linear_schedule(learning_rate=2e-2, warmup_steps=1, num_steps=8)
    ),
    "critics": adam(1e-3),
}


def label_of(top):
    return "encoder" if top == "image" else top


TX = make_grouped_optimizer(GROUPS, label_of)


def arrays(seed):
    rng = np.random.default_rng(seed)
    shapes = {
        "image": {"kernel": (4, 3), "norm": {"scale": (3,)}},
        "text": {"layers": {"kernel": (2, 4, 3), "bias": (2, 3)}},
        "critics": {"local": {"kernel": (3, 3)}},
    }
    return jax.tree.map(
        lambda shape: jnp.asarray(rng.normal(size=shape), jnp.float32),
        shapes,
        is_leaf=lambda node: isinstance(node, tuple),
    )


def run(tx, params, grads):
    state = tx.init(params)
    for grad in grads:
        updates, state = tx.update(grad, state, params)
        params = optax.apply_updates(params, updates)
    return params


def test_each_group_goes_as_if_it_were_alone():
    params, grads = arrays(0), [arrays(seed) for seed in (1, 2, 3)]
    together = run(TX, params, grads)
    for top in params:
        alone = run(GROUPS[label_of(top)], params[top], [grad[top] for grad in grads])
        jax.tree.map(np.testing.assert_array_equal, together[top], alone)
    swapped = make_grouped_optimizer({**GROUPS, "critics": GROUPS["text"]}, label_of)
    other = run(swapped, params, grads)["critics"]["local"]["kernel"]
    assert not np.array_equal(other, together["critics"]["local"]["kernel"])


def test_tops_may_share_a_group_and_a_group_may_be_empty():
    shared = make_grouped_optimizer(
        {"slow": adam(1e-3, clip_norm=1.0), "none": adam(1.0)}, lambda top: "slow"
    )
    params, grads = arrays(0), [arrays(1)]
    jax.tree.map(
        np.testing.assert_array_equal,
        run(shared, params, grads),
        run(adam(1e-3, clip_norm=1.0), params, grads),  # one norm over all tops
    )


def test_a_top_without_an_optimizer_is_an_error():
    tx = make_grouped_optimizer({"image": adam(0.1), "text": adam(0.1)}, lambda top: top)
    with pytest.raises(ValueError, match=r"\{'critics': 'critics'\}, wanted one of \['image', 't"):
        tx.init(arrays(0))


def quadratic(params, variables, batch, *, key, step):
    """Some loss with a gradient in every leaf, not finite where the batch is not."""
    loss = sum(jnp.sum(jnp.square(leaf - batch["x"].mean())) for leaf in jax.tree.leaves(params))
    return loss, ({}, variables)


def batch(step):
    value = np.nan if step == 2 else np.cos(step)  # one update is skipped
    return sharding.global_batch(
        {"x": np.full(8, value, np.float32)}, sharding.split_over_data(MESH)
    )


def test_stop_and_resume_give_the_bits_of_the_uninterrupted_run(tmp_path):
    def first():
        return new_state(arrays(0), {}, TX, jax.random.key(0))

    def go_on(state, end):
        for step in range(int(state.step), end):
            state, _ = update(state, batch(step))
        return state

    update = sharding.compile_step(make_train_step(quadratic, TX), MESH)
    whole = go_on(sharding.place(first(), MESH), 6)
    target = jax.tree.map(
        lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding.replicated(MESH)),
        jax.eval_shape(first),
    )
    with Checkpoints(tmp_path / "checkpoints") as checkpoints:
        checkpoints.save(4, go_on(sharding.place(first(), MESH), 4))
    with Checkpoints(tmp_path / "checkpoints") as checkpoints:
        restored = checkpoints.restore_latest(target)
    assert jax.tree.structure(restored) == jax.tree.structure(whole)
    assert all(isinstance(leaf, jax.Array) for leaf in jax.tree.leaves(restored.opt_state))
    assert int(restored.nonfinite_steps) == 1
    assert tree_digest(go_on(restored, 6)) == tree_digest(whole)
