"""Every pair is visited once, whatever the sizes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tvdim_jax.losses.tiles import add, for_each_tile, put, round_the_ring, take


@pytest.mark.parametrize(("n", "m", "block"), [(1, 1, 8), (7, 5, 3), (8, 16, 4), (9, 2, 4)])
def test_every_pair_is_fresh_once(n, m, block):
    def visit(rows, columns, count):
        fresh = rows.fresh[:, None] & columns.fresh[None, :]
        assert max(fresh.shape) <= block
        old = jax.lax.dynamic_slice(count, (rows.start, columns.start), fresh.shape)
        return jax.lax.dynamic_update_slice(count, old + fresh, (rows.start, columns.start))

    counts = jax.jit(lambda: for_each_tile(n, m, block, visit, jnp.zeros((n, m), jnp.int32)))()
    np.testing.assert_array_equal(counts, np.ones((n, m)))


def test_take_put_and_add_a_block_along_an_axis():
    tree = {"a": jnp.arange(12.0).reshape(2, 6)}

    def visit(rows, columns, carry):
        del rows
        part = take(carry, columns, -1)
        doubled = put(
            carry, jax.tree.map(lambda leaf: leaf * columns.fresh[None], part), columns, -1
        )
        return add(doubled, part, columns, -1) if columns.fresh.size == 6 else carry

    got = for_each_tile(1, 6, 6, visit, tree)
    np.testing.assert_array_equal(got["a"], 2 * tree["a"])


def test_what_travels_visits_every_device_and_comes_home():
    mesh = jax.make_mesh((8,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))

    def visit(staying, travelling):
        shard, seen = travelling
        return staying + shard, (shard, seen + 1)

    def body(x):
        return round_the_ring("data", visit, jnp.zeros_like(x), (x, jnp.zeros_like(x)))

    sums, (home, seen) = jax.shard_map(
        body, mesh=mesh, in_specs=jax.P("data"), out_specs=jax.P("data")
    )(jnp.arange(8.0))
    np.testing.assert_array_equal(sums, np.full(8, 28.0))
    np.testing.assert_array_equal(home, np.arange(8.0))
    np.testing.assert_array_equal(seen, np.full(8, 8.0))


def test_more_tiles_than_an_int32_counts_compile():
    num = 400_000  # blocks of 8 make 2.5e9 tiles
    total = jax.jit(lambda: for_each_tile(num, num, 8, lambda rows, columns, n: n + 1, 0))
    assert "while" in total.lower().as_text()
