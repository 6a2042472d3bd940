"""Mask words against a pair by pair loop, and their errors."""

import jax.numpy as jnp
import numpy as np
import pytest

from tests.reference import numpy_losses
from tvdim_jax.losses.masks import PairMasks, float_scores, pair_masks

RNG = np.random.default_rng(0)
N, M = 5, 7
WORDS = {
    "x_where": RNG.random(N) < 0.7,
    "y_where": RNG.random(M) < 0.7,
    "where": RNG.random((N, M)) < 0.8,
    "x_group_id": RNG.integers(-1, 3, (N, 2)),
    "y_group_id": RNG.integers(-1, 3, (M, 2)),
}
IDS = {"x_positive_id": RNG.integers(0, 3, N), "y_positive_id": RNG.integers(0, 3, M)}
MASK = {"positive_mask": RNG.random((N, M)) < 0.3}


@pytest.mark.parametrize(
    "words",
    [
        {},
        WORDS,
        IDS,
        MASK,
        WORDS | IDS,
        WORDS | MASK,
        {"x_group_id": WORDS["x_group_id"][:, 0], "y_group_id": WORDS["y_group_id"][:, 0]},
    ],
)
def test_words_equal_the_loop(words):
    positive, negative = pair_masks((N, M), **words)
    expected_positive, expected_negative = numpy_losses.pair_kinds(N, M, **words)
    np.testing.assert_array_equal(positive, expected_positive)
    np.testing.assert_array_equal(negative, expected_negative)
    assert not np.any(positive & negative)


def test_minus_one_is_no_group_and_a_positive_of_a_group_stays_positive():
    ids = jnp.array([-1, -1, 4, 4])
    positive, negative = pair_masks((4, 4), x_group_id=ids, y_group_id=ids)
    np.testing.assert_array_equal(positive, np.eye(4, dtype=bool))
    expected = ~np.eye(4, dtype=bool)
    expected[2, 3] = expected[3, 2] = False
    np.testing.assert_array_equal(negative, expected)


def test_leading_axes_with_and_without_them_in_the_masks():
    x_where = RNG.random((3, N)) < 0.6
    groups = RNG.integers(-1, 3, (3, N, 2))
    stacked = pair_masks(
        (3, N, M),
        x_where=x_where,
        where=WORDS["where"],
        x_group_id=groups,
        y_group_id=WORDS["y_group_id"],
    )
    for k in range(3):
        one = pair_masks(
            (N, M),
            x_where=x_where[k],
            where=WORDS["where"],
            x_group_id=groups[k],
            y_group_id=WORDS["y_group_id"],
        )
        np.testing.assert_array_equal(stacked.positive[k], one.positive)
        np.testing.assert_array_equal(stacked.negative[k], one.negative)


def test_transposed_swaps_anchors_and_candidates():
    pairs = pair_masks((N, M), **WORDS)
    assert isinstance(pairs.transposed(), PairMasks)
    np.testing.assert_array_equal(pairs.transposed().negative, np.asarray(pairs.negative).T)
    np.testing.assert_array_equal(pairs.transposed().positive, np.asarray(pairs.positive).T)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"x_where": np.ones(M, bool)}, r"x_where: got shape \(7,\), wanted \[..., 5\]"),
        ({"y_where": np.ones(1, bool)}, r"y_where: got shape \(1,\), wanted \[..., 7\]"),
        ({"where": np.ones((M, N), bool)}, r"where: got a mask that spreads to \(7, 5\)"),
        ({"x_where": np.ones((2, N), bool)}, r"x_where: got a mask that spreads to \(2, 5, 1\)"),
        ({"x_positive_id": np.arange(N)}, "add y_positive_id"),
        ({"y_group_id": np.arange(M)}, "add x_group_id"),
        (IDS | MASK, "positives: got positive_mask and x_positive_id, wanted one"),
        (
            {"x_group_id": np.zeros((N, 2), int), "y_group_id": np.zeros((M, 1), int)},
            "got 2 columns in x_group_id and 1 in y_group_id",
        ),
        (
            {"x_positive_id": np.zeros(N), "y_positive_id": np.zeros(M)},
            "x_positive_id: got dtype float32, wanted integers",
        ),
    ],
)
def test_masks_that_do_not_fit_say_so(words, message):
    with pytest.raises(ValueError, match=message):
        pair_masks((N, M), **words)


def test_an_unknown_word_is_an_error():
    with pytest.raises(TypeError, match="x_were"):
        pair_masks((N, M), x_were=np.ones(N, bool))


def test_scores_are_float32_at_least(x64):
    assert float_scores(jnp.zeros((2, 2), jnp.bfloat16)).dtype == jnp.float32
    assert float_scores(jnp.zeros((2, 2), jnp.float64)).dtype == jnp.float64
    with pytest.raises(ValueError, match=r"scores: got shape \(3,\), wanted \[..., N, M\]"):
        float_scores(jnp.zeros(3))
