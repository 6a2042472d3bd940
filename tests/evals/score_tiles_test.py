import numpy as np
import pytest

from tvdim_jax.evals.score_tiles import blocks_of, check_rows, lowest_tie, score_tile


def test_blocks_have_one_length_and_hold_each_number_once():
    assert blocks_of(7, 3).tolist() == [[0, 1, 2], [3, 4, 5], [6, -1, -1]]
    assert blocks_of(2, 9).tolist() == [[0, 1]]
    assert blocks_of(6, 3).dtype == np.int32


def test_the_filling_is_asked_for_as_row_0():
    scores = np.arange(12.0).reshape(3, 4)
    tile = score_tile(lambda i, j: scores[np.ix_(i, j)], np.array([2, -1]), np.array([1, 3, -1]))
    np.testing.assert_array_equal(tile, [[9, 11, 8], [1, 3, 0]])
    with pytest.raises(ValueError, match=r"of 1 images and 2 texts: got shape \(2, 1\), wanted"):
        score_tile(lambda i, j: np.zeros((2, 1)), np.array([0]), np.array([0, 1]))


def test_ties_are_within_a_millionth():
    own = np.array([0.5, -3.0, 1000.0, -np.inf], np.float32)
    wanted = [0.5 - 1e-6, -3 - 3e-6, 1000 - 1e-3, -np.inf]
    np.testing.assert_allclose(lowest_tie(own), wanted, rtol=1e-7)


@pytest.mark.parametrize("rows", [[], [0, 3], [-1], [[0]]])
def test_rows_out_of_range_say_so(rows):
    with pytest.raises(ValueError, match=r"an image row in \[0, 3\): got shape"):
        check_rows(np.array(rows, np.int64), 3, (1,))
