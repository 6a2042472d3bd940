"""Small states of many types, and folders of their checkpoints."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import AxisType

from tvdim_jax.train import sharding
from tvdim_jax.train.checkpoint import Checkpoints
from tvdim_jax.train.state import new_state

FACTS = {"seed": 5, "data": "abc", "shape": (1, 2)}
STEPS = (1, 2, 3)


def mesh_of(num_devices):
    return jax.make_mesh(
        (num_devices,), ("data",), axis_types=(AxisType.Auto,), devices=jax.devices()[:num_devices]
    )


def state_of(step, *, num_devices=8, width=24, tx=None):
    """A state of many types, other in each step."""
    rng = np.random.default_rng(step)
    params = {
        "image": {"stem": jnp.asarray(rng.normal(size=(16, width)), jnp.float32)},
        "text": jnp.asarray(rng.normal(size=7), jnp.bfloat16),
    }
    variables = {"batch_stats": {"mean": jnp.asarray(rng.normal(size=5), jnp.float32)}}
    tx = optax.adam(0.1) if tx is None else tx
    state = new_state(params, variables, tx, jax.random.key(step))
    _, opt_state = tx.update(params, state.opt_state, params)
    state = state.replace(step=jnp.int32(step), opt_state=opt_state)
    return sharding.place(state, mesh_of(num_devices))


def target_of(state, *, num_devices=8):
    whole = sharding.replicated(mesh_of(num_devices))
    return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=whole), state)


def restore(folder, target=None, **options):
    target = target_of(state_of(1)) if target is None else target
    with Checkpoints(folder, **{"facts": FACTS, **options}) as checkpoints:
        return checkpoints.restore_latest(target)


def save(folder, *steps, keep=2, facts=FACTS, **options):
    with Checkpoints(folder, keep=keep, facts=facts) as checkpoints:
        for step in steps:
            checkpoints.save(step, state_of(step, **options))


def bits(leaf):
    is_key = jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
    return np.asarray(jax.random.key_data(leaf) if is_key else leaf)


def assert_equal(got, wanted):
    assert jax.tree.structure(got) == jax.tree.structure(wanted)
    for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(wanted), strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(bits(a), bits(b))


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def damage(folder, *steps):
    for step in steps:
        (folder / str(step) / "meta" / "metadata").write_text("{}", encoding="utf-8")
