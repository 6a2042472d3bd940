"""What the tests of training streams do with them."""

import numpy as np


def take_batches(stream, steps):
    """The next batches of a stream, which is then closed."""
    try:
        return [next(stream) for _ in range(steps)]
    finally:
        stream.close()


def assert_same_batches(batches, others):
    """The same arrays under the same names, batch by batch."""
    assert len(batches) == len(others)
    for batch, other in zip(batches, others, strict=True):
        assert batch.keys() == other.keys()
        for key in batch:
            assert np.array_equal(batch[key], other[key]), key
