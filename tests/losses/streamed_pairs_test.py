"""When features are scored at once, when in tiles, and what is refused."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType

from tvdim_jax.losses.pairs import DensePairs, no_values
from tvdim_jax.losses.streamed_pairs import StreamedPairs, pairs_of


def dot(params, x, y):
    del params
    return x @ y.T


P = jax.P
X = jnp.ones((6, 3))


def test_small_pairs_are_dense_unless_a_block_is_asked_for():
    assert isinstance(pairs_of(dot, X, X, masks={}), DensePairs)
    assert isinstance(pairs_of(dot, X, X, block_size=2, masks={}), StreamedPairs)


def test_ranks_count_equal_ids_in_order():
    ids = jnp.asarray([4, 1, 4, 4, 1, 9])
    pairs = pairs_of(
        dot, X, X, block_size=2, masks={"x_positive_id": ids, "y_positive_id": ids[::-1]}
    )
    ranked, num_rounds, bound = pairs.rounds()
    np.testing.assert_array_equal(ranked.words[0]["rank"], [0, 0, 1, 2, 1, 0])
    assert (int(num_rounds), bound) == (3, 6)


@pytest.mark.parametrize("word", ["where", "positive_mask"])
def test_masks_of_all_pairs_are_refused(word):
    with pytest.raises(ValueError, match=rf"{word}: got an array of all pairs, wanted words"):
        pairs_of(dot, X, X, masks={word: np.ones((6, 6), bool)})


@pytest.mark.parametrize("block_size", [0, 2.5])
def test_a_block_size_that_is_no_count_is_refused(block_size):
    with pytest.raises(ValueError, match=f"block_size: got {block_size}, wanted an integer of at"):
        pairs_of(dot, X, X, block_size=block_size, masks={})


def test_no_rows_are_refused():
    with pytest.raises(ValueError, match=r"x: got leaves of shapes \[\(0, 3\)\], .* at least one"):
        pairs_of(dot, X[:0], X, masks={})


def test_rows_that_are_real_may_be_told_by_any_number():
    kind = jnp.asarray([2, 2, 0, 2, 1, 0])
    words = {"x_where": kind, "y_where": kind.astype(jnp.float32)}
    pairs = [pairs_of(dot, X, X, block_size=size, masks=words) for size in (2, None)]
    tiles, matrix = (each.reduce(no_values, {}, [()])[0] for each in pairs)
    np.testing.assert_array_equal(tiles["num_negatives"], [3, 3, 0, 3, 3, 0])
    np.testing.assert_array_equal(matrix["num_negatives"], tiles["num_negatives"])


@pytest.mark.parametrize(("specs", "side"), [((P("data"), P()), "y"), ((P(), P("data")), "x")])
def test_a_side_that_every_device_holds_whole_is_refused(specs, side):
    mesh = jax.make_mesh((2,), ("data",), axis_types=(AxisType.Auto,), devices=jax.devices()[:2])

    def count(x, y):
        return pairs_of(dot, x, y, axis_name="data", masks={}).total(jnp.zeros(3))

    with pytest.raises(ValueError, match=f"{side}: got the same rows on every device of 'data'"):
        jax.shard_map(count, mesh=mesh, in_specs=specs, out_specs=P())(X, X)


def test_masks_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="x_where: got shape"):
        pairs_of(dot, X, X, block_size=2, masks={"x_where": np.ones(5, bool)})
