"""What dense pairs count, and the ranks of several positives."""

import jax.numpy as jnp
import numpy as np

from tvdim_jax.losses.pairs import as_pairs, mean_over_anchors, no_values, over_positives

SCORES = jnp.arange(12.0).reshape(3, 4)
POSITIVE = np.array([[1, 0, 1, 0], [0, 0, 0, 0], [0, 1, 0, 0]], bool)


def test_counts_of_both_directions():
    rows, columns = as_pairs(SCORES, {"positive_mask": POSITIVE}).reduce(no_values, {}, [(), ()])
    np.testing.assert_array_equal(rows["num_positives"], [2, 0, 1])
    np.testing.assert_array_equal(rows["num_negatives"], [2, 4, 3])
    np.testing.assert_array_equal(rows["positive_score"], [2, 0, 9])
    np.testing.assert_array_equal(columns["num_positives"], [1, 1, 1, 0])


def test_rounds_take_one_positive_at_a_time():
    pairs, num_rounds, bound = as_pairs(SCORES, {"positive_mask": POSITIVE}).rounds()
    assert (int(num_rounds), bound) == (2, 4)
    second, _ = pairs.reduce(no_values, {}, [(), ()], nth_positive=jnp.asarray(1))
    np.testing.assert_array_equal(second["positive_score"], [2, 0, 0])


def test_means_over_positives_then_over_anchors():
    for words in ({"positive_mask": POSITIVE}, {}):
        pairs = as_pairs(SCORES, words)
        (stats,) = found = pairs.reduce(no_values, {}, [()])
        (means,) = over_positives(pairs, lambda score, *_: score**2, found, [()])
        wanted = [2.0, 0.0, 81.0] if words else [0.0, 25.0, 100.0]
        np.testing.assert_array_equal(means, wanted)
        anchors = np.array(wanted)[np.asarray(stats["num_positives"]) > 0]
        np.testing.assert_allclose(mean_over_anchors(pairs, means, stats), anchors.mean())
