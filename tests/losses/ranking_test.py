"""The loss battery for the margin ranking."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from tests.reference import numpy_losses
from tvdim_jax.losses import margin_ranking_loss

RNG = np.random.default_rng(4)
N, M = 6, 9
SCORES = RNG.uniform(-1, 1, (N, M)).astype(np.float32)
WORDS = {
    "x_where": RNG.random(N) < 0.8,
    "y_where": RNG.random(M) < 0.8,
    "where": RNG.random((N, M)) < 0.8,
    "x_group_id": RNG.integers(-1, 4, (N, 2)),
    "y_group_id": RNG.integers(-1, 4, (M, 2)),
}
IDS = {"x_positive_id": RNG.integers(0, 4, N), "y_positive_id": RNG.integers(0, 4, M)}
MASK = {"positive_mask": RNG.random((N, M)) < 0.3}
NEGATIVES = ["all", "hardest", 1, 3, 50]


def test_worked_example_of_the_spec():
    scores = jnp.array([[0.9, 0.5], [0.75, 0.6]])
    np.testing.assert_allclose(margin_ranking_loss(scores, margin=0.2), 0.175 + 0.075, rtol=1e-5)


def test_hardest_and_top_k_choose_by_score():
    scores = jnp.array([[0.5, 0.9, 0.4, 0.6]])  # one anchor; its column has no negative
    np.testing.assert_allclose(margin_ranking_loss(scores, negatives="hardest"), 0.6, rtol=1e-6)
    np.testing.assert_allclose(margin_ranking_loss(scores, negatives=2), 0.45, rtol=1e-6)
    np.testing.assert_allclose(margin_ranking_loss(scores, negatives="all"), 1 / 3, rtol=1e-6)


def test_hardest_of_equals_is_the_first():
    scores = jnp.array([[0.5, 0.7, 0.7]])
    gradient = jax.grad(lambda s: margin_ranking_loss(s, negatives="hardest"))(scores)
    np.testing.assert_allclose(gradient, [[-1.0, 1.0, 0.0]])


def test_no_gradient_once_the_margin_is_kept():
    scores = jnp.array([[0.9, 0.5], [0.6, 0.95]])
    value, gradient = jax.jit(jax.value_and_grad(margin_ranking_loss))(scores)
    assert float(value) == 0.0
    np.testing.assert_array_equal(gradient, np.zeros((2, 2)))


@pytest.mark.parametrize("words", [{}, WORDS, IDS, MASK, WORDS | IDS, WORDS | MASK])
@pytest.mark.parametrize("negatives", NEGATIVES)
def test_equal_to_the_loop(words, negatives):
    options = {"margin": 0.37, "negatives": negatives}
    np.testing.assert_allclose(
        margin_ranking_loss(SCORES, **options, **words),
        numpy_losses.margin_ranking_loss(SCORES, **options, **words),
        rtol=1e-5,
        atol=1e-7,
    )


@pytest.mark.parametrize("negatives", ["all", "hardest"])
@pytest.mark.parametrize(
    ("shape", "words"),
    [
        ((1, 1), {}),
        ((3, 3), {"where": np.zeros((3, 3), bool)}),
        ((3, 3), {"where": np.eye(3, dtype=bool)}),
        ((3, 4), {"positive_mask": np.zeros((3, 4), bool)}),
        ((2, 2), {"x_group_id": np.array([7, 7]), "y_group_id": np.array([7, 7])}),
    ],
)
def test_nothing_to_compare_is_zero_with_zero_gradient(negatives, shape, words):
    loss = partial(margin_ranking_loss, negatives=negatives, **words)
    value, gradient = jax.jit(jax.value_and_grad(loss))(jnp.full(shape, 3.0))
    assert float(value) == 0.0
    np.testing.assert_array_equal(gradient, np.zeros(shape))


@pytest.mark.parametrize("negatives", ["all", "hardest", 2])
def test_extremes(negatives):
    loss = partial(margin_ranking_loss, negatives=negatives)
    # All equal: every hinge is the margin. Solved by 1e4: none is active. Wrong by 2e4: all are.
    np.testing.assert_allclose(loss(jnp.full((5, 5), 1e4)), 0.4, rtol=1e-6)
    assert float(loss(1e4 * jnp.eye(5))) == 0.0
    wrong = jnp.array([[-1e4, 1e4], [1e4, -1e4]])
    value, gradient = jax.jit(jax.value_and_grad(loss))(wrong)
    np.testing.assert_allclose(value, 4e4, rtol=1e-4)
    np.testing.assert_allclose(gradient, [[-1.0, 1.0], [1.0, -1.0]])


@pytest.mark.parametrize("negatives", ["all", "hardest", 2])
def test_mask_equals_subset_even_over_nan(negatives):
    x_where = np.array([True, True, False, True, True, False])
    y_where = np.array([True, True, False, True, True, False, True, True, True])
    scores = jnp.where(x_where[:, None] & y_where[None, :], SCORES, jnp.nan)
    loss = partial(margin_ranking_loss, negatives=negatives)
    masked = jax.jit(jax.value_and_grad(partial(loss, x_where=x_where, y_where=y_where)))(scores)
    subset = jax.jit(jax.value_and_grad(loss))(jnp.asarray(SCORES[x_where][:, y_where]))
    np.testing.assert_allclose(masked[0], subset[0], rtol=1e-6)
    np.testing.assert_allclose(masked[1][x_where][:, y_where], subset[1], rtol=1e-5, atol=1e-8)
    assert np.all(np.asarray(masked[1])[~x_where] == 0)


@pytest.mark.parametrize("negatives", ["all", 2])
@pytest.mark.parametrize("words", [WORDS, WORDS | IDS])
def test_gradients_equal_finite_differences(x64, negatives, words):
    loss = partial(margin_ranking_loss, negatives=negatives, **words)
    check_grads(jax.jit(loss), (jnp.asarray(SCORES, jnp.float64),), 1, ["rev"], eps=1e-6)


@pytest.mark.parametrize(("words", "negatives"), [(WORDS, "all"), (WORDS | IDS, 2)])
def test_jit_vmap_and_leading_axes_agree(words, negatives):
    scores = jnp.asarray(RNG.uniform(-1, 1, (2, 3, N, M)), jnp.float32)
    loss = partial(margin_ranking_loss, negatives=negatives, **words)
    leading = jax.jit(loss)(scores)
    assert leading.shape == (2, 3)
    one_by_one = [[loss(scores[a, b]) for b in range(3)] for a in range(2)]
    np.testing.assert_allclose(leading, np.array(one_by_one), rtol=1e-6, atol=1e-7)
    mapped = jax.jit(jax.vmap(jax.vmap(loss)))(scores)
    np.testing.assert_allclose(leading, mapped, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize(("negatives", "several"), [("all", True), ("hardest", False)])
def test_sharded_scores_give_the_value_and_gradient_of_one_device(negatives, several):
    # The compiler splits the matrix; the ring has its tests in stream_test.py.
    scores = jnp.asarray(RNG.uniform(-1, 1, (16, 24)), jnp.float32)
    ids = jnp.arange(16) // 2, jnp.arange(24) // 2
    masks = {"x_group_id": ids[0], "y_group_id": ids[1]}
    if several:
        masks |= {"x_positive_id": ids[0], "y_positive_id": ids[1]}
    mesh = jax.make_mesh((8,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
    sharded = jax.device_put(scores, jax.NamedSharding(mesh, jax.P("data")))
    function = jax.jit(
        jax.value_and_grad(partial(margin_ranking_loss, negatives=negatives, **masks))
    )
    value, gradient = function(sharded)
    expected_value, expected_gradient = function(scores)
    np.testing.assert_allclose(value, expected_value, rtol=1e-5)
    np.testing.assert_allclose(gradient, expected_gradient, rtol=1e-5, atol=1e-7)


def test_precision_is_float32_for_bfloat16_and_float64_stays(x64):
    low = jnp.asarray(SCORES, jnp.bfloat16)
    assert margin_ranking_loss(low).dtype == jnp.float32
    np.testing.assert_array_equal(
        margin_ranking_loss(low), margin_ranking_loss(low.astype(jnp.float32))
    )
    double = margin_ranking_loss(jnp.asarray(SCORES, jnp.float64))
    assert double.dtype == jnp.float64
    np.testing.assert_allclose(double, numpy_losses.margin_ranking_loss(SCORES), rtol=1e-13)


def test_several_positives_need_no_cube_of_memory():
    batch = 256
    scores = jax.ShapeDtypeStruct((batch, batch), jnp.float32)
    ids = jnp.arange(batch) // 2
    gradient = jax.grad(partial(margin_ranking_loss, x_positive_id=ids, y_positive_id=ids))
    memory = jax.jit(gradient).lower(scores).compile().memory_analysis()
    assert memory.temp_size_in_bytes < 40 * 4 * batch**2


@pytest.mark.parametrize("negatives", ["soft", 0, -1, True, 1.5])
def test_unknown_negatives_say_what_is_wanted(negatives):
    with pytest.raises(ValueError, match=r"negatives: got .*, wanted 'all', 'hardest' or an int"):
        margin_ranking_loss(SCORES, negatives=negatives)
