import numpy as np
import pytest

from tvdim_jax.data.errors import DataError
from tvdim_jax.data.sources.scenes import Scenes
from tvdim_jax.data.sources.subset import Subset

METHODS = ("captions", "labels", "ambiguous", "study_id", "example_id", "read_image", "read_grey")


@pytest.mark.parametrize("method", METHODS)
def test_every_row_is_that_of_the_source(method):
    source = Scenes(9, seed=0, image_size=32)
    subset = Subset(source, np.array([7, 2, 4]))
    assert (len(subset), subset.name) == (3, "scenes")
    for index, row in enumerate((7, 2, 4)):
        found, wanted = getattr(subset, method)(index), getattr(source, method)(row)
        np.testing.assert_array_equal(found, wanted)


def test_the_digest_tells_rows_and_sources_apart():
    source, other = Scenes(9, seed=0, image_size=32), Scenes(9, seed=1, image_size=32)
    digests = {
        Subset(each, np.array(rows)).digest()
        for each in (source, other)
        for rows in ([1, 2], [2, 1], [1])
    }
    assert len(digests) == 6
    assert Subset(source, np.array([1])).digest() == Subset(source, np.array([1])).digest()


def test_rows_that_are_not_there():
    source = Scenes(9, seed=0, image_size=32)
    with pytest.raises(DataError, match=r"scenes: got 2 rows from 3 to 9, wanted .* from 0 to 8"):
        Subset(source, np.array([3, 9]))
    with pytest.raises(DataError, match="got 0 rows, wanted at least one"):
        Subset(source, np.array([]))
