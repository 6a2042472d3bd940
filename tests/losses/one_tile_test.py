"""Leaves with and without a gradient part and join; masks of a tile know what was seen before."""

import jax
import jax.numpy as jnp
import numpy as np

from tvdim_jax.losses.one_tile import Side, split, tile_masks
from tvdim_jax.losses.tiles import Block


def test_split_parts_floats_from_the_rest():
    floats, others = split(
        {"a": np.ones(2, np.float32), "b": np.arange(2), "c": [np.zeros(2, bool)]}
    )
    assert jax.tree.map(jnp.shape, floats) == {"a": (2,), "b": None, "c": [None]}
    assert jax.tree.map(lambda leaf: leaf.dtype.kind, others) == {"a": None, "b": "i", "c": ["b"]}


def side(positive_id, **words):
    ids = jnp.asarray(positive_id)
    return Side((), (), {"index": jnp.arange(ids.size), "positive_id": ids} | words, ())


def block(*fresh):
    return Block(jnp.asarray(0), jnp.asarray(fresh))


def test_what_a_block_before_had_takes_no_part():
    fresh = block(False, True), block(True, True, True)
    rows, columns = tile_masks(side([0, 1]), side([1, 1, 2]), *fresh)
    np.testing.assert_array_equal(rows.positive, [[False] * 3, [True, True, False]])
    np.testing.assert_array_equal(rows.negative, [[False] * 3, [False, False, True]])
    assert rows is columns


def test_only_the_positives_of_a_rank_count():
    nth = {"nth": jnp.ones(2, jnp.int32)}
    x = side([5, 5], rank=jnp.asarray([0, 1]), **nth)
    y = side([5, 7], rank=jnp.asarray([1, 0]), **nth)
    rows, columns = tile_masks(x, y, block(True, True), block(True, True))
    np.testing.assert_array_equal(rows.positive, [[True, False], [True, False]])
    np.testing.assert_array_equal(columns.positive, [[False, False], [True, False]])
