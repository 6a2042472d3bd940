import numpy as np
import pytest

from tvdim_jax.objectives.groups import checked_group, interleave, of_groups


def test_places_count_within_groups():
    values = np.arange(12).reshape(6, 2)
    got = of_groups(values, np.array([[2, 0, 0], [1, 1, 2]]))
    np.testing.assert_array_equal(got, values[[2, 0, 0, 4, 4, 5]])


def test_rows_stand_side_by_side():
    got = interleave(np.array([[1], [2]]), np.array([[3], [4]]), np.array([[5], [6]]))
    np.testing.assert_array_equal(got[:, 0], [1, 3, 5, 2, 4, 6])


def test_a_small_batch_is_one_group_and_others_are_shared_evenly():
    assert [checked_group(num, 4) for num in (3, 4, 8)] == [3, 4, 4]
    for num, size in [(6, 4), (4, 0)]:
        with pytest.raises(
            ValueError, match=f"group_size: got {size} for a batch of {num}, wanted"
        ):
            checked_group(num, size)
