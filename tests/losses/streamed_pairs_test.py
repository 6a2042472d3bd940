"""When features are scored at once, when in tiles, and what is refused."""

import jax.numpy as jnp
import numpy as np
import pytest

from tvdim_jax.losses.pairs import DensePairs
from tvdim_jax.losses.streamed_pairs import StreamedPairs, pairs_of


def dot(params, x, y):
    del params
    return x @ y.T


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


def test_a_block_size_below_one_is_refused():
    with pytest.raises(ValueError, match="block_size: got 0, wanted at least 1"):
        pairs_of(dot, X, X, block_size=0, masks={})


def test_masks_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="x_where: got shape"):
        pairs_of(dot, X, X, block_size=2, masks={"x_where": np.ones(5, bool)})
