"""The new state: zero counters, the optimizer's start, nothing shared."""

import jax
import jax.numpy as jnp
import numpy as np
import optax

from tvdim_jax.train.state import new_state


def test_new_state_starts_at_zero_and_keeps_what_it_is_given():
    params, variables = {"w": jnp.ones(2)}, {"batch_stats": {"mean": jnp.full(3, 2.0)}}
    key = jax.random.key(7)
    state = new_state(params, variables, optax.adam(0.1), key)
    for counter in (state.step, state.nonfinite_steps, state.nonfinite_in_a_row):
        assert counter.dtype == jnp.int32
        assert counter.shape == ()
        assert counter == 0
    assert state.params is params
    assert state.variables is variables
    assert state.root_key is key
    np.testing.assert_array_equal(state.opt_state[0].mu["w"], np.zeros(2))


def test_no_two_leaves_share_a_buffer_so_that_all_can_be_donated():
    state = new_state({"w": jnp.ones(2)}, {}, optax.adam(0.1), jax.random.key(0))
    donate = jax.jit(lambda tree: tree, donate_argnums=0)
    again = donate(donate(state))
    assert again.step == 0


def test_state_is_one_tree_with_named_branches():
    state = new_state({"w": jnp.ones(2)}, {}, optax.sgd(0.1), jax.random.key(0))
    names = [path[0].name for path, _ in jax.tree_util.tree_leaves_with_path(state)]
    assert names == ["step", "params", "root_key", "nonfinite_steps", "nonfinite_in_a_row"]
