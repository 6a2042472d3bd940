"""The loss battery: what every dense loss on scores must do."""

from itertools import product

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.experimental import checkify

from tests.reference.losses import LOSSES, ONE_OF_EACH, matrices, quick_jit, row_words
from tvdim_jax import losses

N, M = 5, 7
NEUTRAL = ("all masked", "no positives", "no negatives")  # the value is 0
every_loss = pytest.mark.parametrize("loss", LOSSES, ids=str)


def call(loss, scores, words, numbers=None):
    numbers = loss.numbers if numbers is None else numbers
    return loss.dense(*scores, **loss.words, **numbers, **words)


def by_loop(loss, scores, words):
    return loss.reference(*scores, **loss.options, **words)


def value_and_gradient(loss):
    """Of matrices, mask words and numbers: values, gradients of their sum by matrices, numbers."""

    def total(scores, numbers, words):
        values = call(loss, scores, words, numbers)
        return jnp.sum(values), values

    def both(scores, words, numbers=loss.numbers):
        function = jax.value_and_grad(total, (0, 1), has_aux=True)
        (_, values), (by_scores, by_numbers) = function(scores, numbers, words)
        return values, by_scores, by_numbers

    return both


def word_combinations(rng):
    """Leading axis: each combination of the words beside the positives, off = without effect.

    The same 16 with the diagonal, with ids and with a mask of positives; the last has all words.
    """
    words = row_words(rng, N, M)
    on = {
        ("x_where",): [words["x_where"]],
        ("y_where",): [words["y_where"]],
        ("where",): [rng.random((N, M)) < 0.8],
        ("x_group_id", "y_group_id"): [words["x_group_id"], words["y_group_id"]],
    }
    stacked = {}
    for k, (names, arrays) in enumerate(on.items()):
        for name, array in zip(names, arrays, strict=True):
            off = np.full_like(array, -1 if name.endswith("id") else True)
            stacked[name] = np.stack([array if c[k] else off for c in product((0, 1), repeat=4)])
    ids = {name: np.stack([words[name]] * 16) for name in ("x_positive_id", "y_positive_id")}
    return stacked, stacked | ids, stacked | {"positive_mask": rng.random((16, N, M)) < 0.3}


def at(k, tree):
    return jax.tree.map(lambda leaf: np.asarray(leaf)[k], tree)


@every_loss
def test_equal_to_the_loop_with_every_combination_of_mask_words(x64, loss):
    rng = np.random.default_rng(0)
    scores = matrices(loss, rng, 16, N, M)
    diagonal, ids, mask = combinations = word_combinations(rng)

    @quick_jit
    def run(scores):
        mapped = jax.vmap(lambda scores, words: call(loss, scores, words))(scores, ids)
        leading = [call(loss, scores, words) for words in (diagonal, mask)]
        return mapped, leading, value_and_gradient(loss)(scores, ids)

    mapped, (got_diagonal, got_mask), (got_ids, by_scores, by_numbers) = run(scores)
    np.testing.assert_allclose(mapped, got_ids, rtol=1e-13, atol=1e-15)
    for words, got in zip(combinations, (got_diagonal, got_ids, got_mask), strict=True):
        expected = [by_loop(loss, at(k, scores), at(k, words)) for k in range(16)]
        np.testing.assert_allclose(got, expected, rtol=1e-11, atol=1e-13, err_msg=str([*words]))
    check_gradients(loss, at(15, scores), at(15, ids), at(15, by_scores))
    if loss.traced:
        check_slopes(loss, scores, ids, by_numbers)


def differences(function, array, step=1e-5):
    """Central differences of a scalar function by each entry of an array."""
    slopes = np.zeros(np.shape(array))
    for index in np.ndindex(slopes.shape):
        shift = np.zeros(slopes.shape)
        shift[index] = step
        slopes[index] = (function(array + shift) - function(array - shift)) / (2 * step)
    return slopes


def check_gradients(loss, scores, words, gradients):
    """Against the loop; the similarities of SRCL are constants unless weights have a gradient."""
    through = loss.options.get("weight_gradient", False)
    given = list(scores)
    if loss.name == "similarity_regulated_loss" and len(scores) == 1:
        given = [scores[0], scores[0]]
    for k, gradient in enumerate(gradients):

        def value(array, k=k):
            return by_loop(loss, [*given[:k], array, *given[k + 1 :]], words)

        constant = k == 2 or (k == 1 and not through)  # a teacher is never taught
        expected = np.zeros((N, M)) if constant else differences(value, scores[k])
        np.testing.assert_allclose(gradient, expected, atol=1e-8, err_msg=f"by matrix {k}")


def check_slopes(loss, scores, words, slopes):
    """The same for the numbers, whose slopes are those of the sum over the combinations."""
    for name, slope in slopes.items():

        def value(number, name=name):
            options = loss.options | {name: float(number)}
            each = (loss.reference(*at(k, scores), **options, **at(k, words)) for k in range(16))
            return sum(each)

        constant = name == "teacher_share"  # a schedule, not a parameter
        expected = 0.0 if constant else differences(value, np.asarray(loss.options[name]))
        np.testing.assert_allclose(slope, expected, rtol=1e-7, atol=1e-7, err_msg=f"by {name}")


def extreme_cases(rng):
    """By name: scores [N, M], what may take part, what is positive."""
    eye, most = np.eye(N, M, dtype=bool), rng.random((N, M)) < 0.9
    none = ~(eye | ~eye)
    return {
        "large": (rng.choice([-1e4, 1e4], (N, M)), most, eye),
        "large and near": (1e4 + rng.normal(size=(N, M)), most, eye),
        "equal": (np.full((N, M), 1e4), most, rng.random((N, M)) < 0.4),
        "equal and low": (np.full((N, M), -1e4), most, eye),
        "solved": (np.where(eye, 1e4, -1e4), most, eye),
        "one pair": (np.ones((N, M)), eye & (np.arange(M) < 1), eye),
        "all masked": (np.ones((N, M)), none, eye),
        "no positives": (np.full((N, M), 1e4), most, none),
        "no negatives": (np.where(eye, 1e4, -1e4), eye, eye),
    }


@every_loss
def test_extremes_and_masked_nan(loss):
    rng = np.random.default_rng(1)
    cases = extreme_cases(rng)
    scores, where, positive = (np.stack(each) for each in zip(*cases.values(), strict=True))
    words = {"where": where, "positive_mask": positive}
    scores = [scores, *matrices(loss, rng, *scores.shape)[1:]]
    scores = [each.astype(np.float32) for each in scores]
    checked = checkify.checkify(value_and_gradient(loss), errors=checkify.nan_checks)
    function = quick_jit(lambda scores: checked(scores, words))
    error, (values, gradients, _) = function(scores)
    for k, name in enumerate(cases):
        each = at(k, gradients)
        assert not np.any(np.asarray(each)[:, ~where[k]]), name
        if name in (*NEUTRAL, "one pair"):
            assert values[k] == 0, name
            assert not np.any(each), name
            continue
        assert not np.isnan(values[k]), name
        assert not np.any(np.isnan(each)), name
        assert loss.overflows or np.isfinite(values[k]), name
        assert loss.overflows or np.all(np.isfinite(each)), name
        if loss.loops:
            expected = by_loop(loss, at(k, scores), at(k, words))
            # Two scores of 1e4 differ by a float32 step of 1e-3.
            np.testing.assert_allclose(values[k], expected, rtol=1e-6, atol=5e-3, err_msg=name)
    error.throw()  # NaN that a `where` took away again

    # What takes no part may be NaN: the same bits.
    masked = [np.where(where, each, np.float32(np.nan)) for each in scores]
    _, (over_nan, gradients_over_nan, _) = function(masked)
    np.testing.assert_array_equal(over_nan, values)
    np.testing.assert_array_equal(gradients_over_nan, gradients)


@every_loss
def test_mask_equals_subset(x64, loss):
    rng = np.random.default_rng(2)
    scores, rows, columns = matrices(loss, rng, N, M), np.arange(N) != 2, np.arange(M) % 4 != 1
    words = {"x_where": rows, "y_where": columns}
    words |= {"x_positive_id": np.arange(N) % 4, "y_positive_id": np.arange(M) % 4}
    fewer = {
        name: array[rows if name.startswith("x") else columns] for name, array in words.items()
    }

    @quick_jit
    def run(masked, subset):
        return call(loss, masked, words), call(loss, subset, fewer)

    masked = [np.where(rows[:, None] & columns[None, :], each, np.nan) for each in scores]
    got, expected = run(masked, [each[rows][:, columns] for each in scores])
    assert expected != 0
    np.testing.assert_allclose(got, expected, rtol=1e-12)


@pytest.mark.parametrize("loss", ONE_OF_EACH, ids=str)
def test_one_and_two_pairs_and_words_that_stand_alone(x64, loss):
    rng = np.random.default_rng(3)
    some = row_words(rng, N, M)
    cases = [
        ((1, 1), {}),
        ((1, 3), {}),
        ((3, 1), {}),
        ((2, 2), {}),
        ((N, M), {}),
        ((N, M), {name: some[name] for name in ("x_positive_id", "y_positive_id")}),
        ((N, M), {name: some[name][:, 0] for name in ("x_group_id", "y_group_id")}),
        ((N, M), {"positive_mask": np.eye(N, M, k=1, dtype=bool)}),
    ]
    scores = [matrices(loss, rng, *shape) for shape, _ in cases]

    @quick_jit
    def run(scores):
        alone = value_and_gradient(loss)(scores[0], {})
        return alone, [
            call(loss, each, words) for each, (_, words) in zip(scores, cases, strict=True)
        ]

    (value, gradient, _), values = run(scores)
    assert value == 0
    assert not np.any(gradient)
    expected = [by_loop(loss, each, words) for each, (_, words) in zip(scores, cases, strict=True)]
    np.testing.assert_allclose(values, expected, rtol=1e-12)


@pytest.mark.slow
@every_loss
def test_step_by_step_makes_no_nan(loss):
    scores = [jnp.ones((2, 2))] * loss.num_scores
    with jax.debug_nans(True):
        values, gradients, _ = value_and_gradient(loss)(scores, {"where": np.eye(2, dtype=bool)})
    assert values == 0
    assert not np.any(gradients)


@pytest.mark.parametrize("loss", ONE_OF_EACH, ids=str)
def test_precision_is_float32_at_least(x64, loss):
    for dtype, wanted in [("bfloat16", "float32"), ("float32", "float32"), ("float64", "float64")]:
        scores = [jax.ShapeDtypeStruct((2, N, M), dtype)] * loss.num_scores
        out = jax.eval_shape(lambda *scores: call(loss, scores, {}), *scores)
        assert (out.shape, out.dtype) == ((2,), wanted)


@every_loss
def test_a_nan_that_counts_comes_out(loss):
    rng = np.random.default_rng(4)
    scores = matrices(loss, rng, N, M)
    scores[0] = scores[0].copy()
    scores[0][1, 4] = np.nan  # a negative
    value, summary = quick_jit(lambda s: (call(loss, s, {}), losses.score_summary(s[0])))(scores)
    assert np.isnan(value)
    assert np.isnan(summary["mi_nats"])
    assert np.isnan(summary["hardest_negative_score"])
