"""The streamed form of every loss against its dense form: value and gradient."""

import inspect
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.reference.losses import (
    LOSSES,
    ONE_OF_EACH,
    assert_same,
    dense_of_features,
    inputs_of,
    quick_jit,
    row_words,
    streamed_of_features,
)
from tvdim_jax import losses
from tvdim_jax.losses import pairwise

every_loss = pytest.mark.parametrize("loss", LOSSES, ids=str)
one_of_each = pytest.mark.parametrize("loss", ONE_OF_EACH, ids=str)


def dot(_, x, y):
    return x @ y.T


def value_and_gradients(function, loss, **how):
    """Jitted: what has a gradient and mask words -> value and gradients."""
    return quick_jit(jax.value_and_grad(partial(function, loss, **how)))


@every_loss
def test_blocks_equal_the_matrix(x64, loss):
    rng = np.random.default_rng(0)
    n, m = 7, 10  # blocks of 4 leave 3 rows and 2 columns over
    inputs, words = inputs_of(loss, rng, n, m), row_words(rng, n, m)
    numbers, params, x, y = inputs
    large = (numbers, params | {"kernel": 1e4 * params["kernel"]}, x, y)
    masked = words | {"x_where": np.zeros(n, bool)}
    alone = words | {"x_positive_id": np.arange(n), "y_positive_id": np.arange(m)[::-1].copy()}
    same = words | {name: np.zeros_like(words[name]) for name in words if "positive" in name}
    cases = {
        "several positives": (inputs, words),
        "one positive": (inputs, alone),
        "all are positives": (inputs, same),
        "all rows masked": (inputs, masked),
        "large scores": (large, words),
    }
    dense = value_and_gradients(dense_of_features, loss)
    streamed = value_and_gradients(streamed_of_features, loss, block_size=4)
    for name, case in cases.items():
        got, expected = streamed(*case), dense(*case)
        if name in ("all rows masked", "all are positives"):
            assert got[0] == 0, name
            assert not any(np.any(leaf) for leaf in jax.tree.leaves(got[1])), name
        elif name == "large scores" and loss.overflows:
            assert not np.isnan(got[0]), name
            np.testing.assert_array_equal(got[0], expected[0])
            continue
        else:
            assert any(np.any(leaf) for leaf in jax.tree.leaves(expected[1])), name
        assert_same(got, expected, name)


@one_of_each
def test_few_pairs_equal_the_matrix(x64, loss):
    rng = np.random.default_rng(1)
    sizes = {(1, 1): 1, (2, 5): 2}  # with a block size
    cases = {size: inputs_of(loss, rng, *size) for size in sizes}
    dense = jax.value_and_grad(partial(dense_of_features, loss))

    @quick_jit
    def both(cases):
        streamed = {
            size: jax.value_and_grad(partial(streamed_of_features, loss, block_size=block))
            for size, block in sizes.items()
        }
        return {size: (streamed[size](case, {}), dense(case, {})) for size, case in cases.items()}

    for size, (got, expected) in both(cases).items():
        assert_same(got, expected, str(size))


@pytest.mark.slow
@pytest.mark.parametrize("size", [(1, 6), (6, 1), (2, 2), (5, 9)])
@every_loss
def test_each_block_and_mask_word_equals_the_matrix(x64, loss, size):
    rng = np.random.default_rng(2)
    inputs, words = inputs_of(loss, rng, *size), row_words(rng, *size)
    column = {name: words[name][:, 0] for name in words if "group" in name}
    for each in ({}, column | {"x_where": words["x_where"]}, words):
        expected = value_and_gradients(dense_of_features, loss)(inputs, each)
        for block in (1, 3, 16):
            streamed = value_and_gradients(streamed_of_features, loss, block_size=block)
            assert_same(streamed(inputs, each), expected, f"block {block}, {sorted(each)}")


def test_many_pairs_are_streamed_by_default():
    rng = np.random.default_rng(9)
    x, y = (jnp.asarray(rng.normal(size=(2400, 2)), jnp.float32) for _ in range(2))
    streamed = quick_jit(jax.value_and_grad(partial(pairwise.info_nce_loss, dot), (0, 1)))
    compiled = streamed.lower(x, y).compile()
    assert compiled.memory_analysis().temp_size_in_bytes < 4 * 2400**2  # a matrix of scores
    dense = quick_jit(jax.value_and_grad(lambda x, y: losses.info_nce_loss(x @ y.T), (0, 1)))
    assert_same(compiled(x, y), dense(x, y), "default", value=1e-6, gradient=1e-4)


def both_ways(loss, critic, inputs, masks, block=4, **options):
    """Value and gradients by the inputs (params, x, y), streamed and dense."""

    def dense(inputs):
        return getattr(losses, loss)(critic(*inputs), **masks, **options)

    def streamed(inputs):
        params, x, y = inputs
        function = getattr(pairwise, loss)
        return function(critic, x, y, params=params, block_size=block, **masks, **options)

    return [
        quick_jit(jax.value_and_grad(each, allow_int=True))(inputs) for each in (streamed, dense)
    ]


def assert_same_floats(got, expected, **tolerances):
    """The same, leaving out the float0 gradients of integers, which must be float0 in both."""
    kept = []
    for value, gradients in (got, expected):
        leaves = jax.tree.leaves(gradients)
        kept.append((value, [leaf for leaf in leaves if leaf.dtype != jax.dtypes.float0]))
        assert len(kept[-1][1]) < len(leaves)
    assert_same(*kept, "trees", **tolerances)


@pytest.mark.parametrize("pool", ["max", "log_mean_exp"])
def test_feature_trees_with_masks_and_the_local_critic(x64, pool):
    rng = np.random.default_rng(4)
    images = {"map": rng.normal(size=(7, 5, 3)), "where": rng.random((7, 5)) < 0.7}
    texts = {"tokens": rng.normal(size=(9, 4, 3)), "length": rng.integers(0, 5, 9)}

    def critic(params, x, y):
        real = jnp.arange(4)[None, :] < y["length"][:, None]
        return params["scale"] * losses.local_scores(
            x["map"], y["tokens"], region_where=x["where"], token_where=real, region_pool=pool
        )

    inputs = ({"scale": np.asarray(1.3)}, images, texts)
    masks = {"x_group_id": rng.integers(-1, 3, 7), "y_group_id": rng.integers(-1, 3, 9)}
    got, expected = both_ways("info_nce_loss", critic, inputs, masks, temperature=0.5)
    assert_same_floats(got, expected)


def test_a_critic_of_three_layers_and_integer_features(x64):
    rng = np.random.default_rng(5)
    params = [{"kernel": rng.normal(size=s), "bias": rng.normal(size=s[1])}
              for s in [(6, 8), (8, 5), (5, 1)]]  # fmt: skip
    params.append({"table": rng.normal(size=(11, 3))})

    def critic(params, x, y):
        *layers, words = params
        x, y = words["table"][x["ids"]], y["vector"]
        hidden = jnp.concatenate(
            [jnp.repeat(x[:, None], len(y), 1), jnp.repeat(y[None], len(x), 0)], axis=-1
        )
        for layer in layers[:-1]:
            hidden = jax.nn.relu(hidden @ layer["kernel"] + layer["bias"][None, None, :])
        return (hidden @ layers[-1]["kernel"])[..., 0] + layers[-1]["bias"][0]

    x = {"ids": rng.integers(0, 11, 7)}
    y = {"vector": rng.normal(size=(10, 3)), "unused": rng.random(10) < 0.5}
    for name in ("donsker_varadhan_lower_bound", "jsd_objective"):
        assert_same_floats(*both_ways(name, critic, (params, x, y), {}))


def test_bfloat16_features_are_scored_and_summed_in_float32():
    rng = np.random.default_rng(6)
    n, m, width = 12, 40, 16
    x, y = (jnp.asarray(rng.normal(size=(size, width)), jnp.bfloat16) for size in (n, m))

    def critic(_, x, y):
        return jnp.einsum("nd,md->nm", x, y, preferred_element_type=jnp.float32) / 4

    got, expected = both_ways("info_nce_loss", critic, ((), x, y), {})
    assert got[0].dtype == jnp.float32
    np.testing.assert_allclose(got[0], expected[0], rtol=1e-6)
    exact = both_ways("info_nce_loss", critic, ((), x.astype("f4"), y.astype("f4")), {})[1]
    for gradient, wanted in zip(got[1][1:], exact[1][1:], strict=True):
        assert gradient.dtype == jnp.bfloat16
        # One rounding of the sum over ten blocks; ten roundings would be seen.
        error = np.abs(gradient.astype(jnp.float32) - wanted)
        assert np.max(error) < 2**-7 * np.max(np.abs(wanted))


@pytest.mark.parametrize("options", [{}, {"teacher_share": 0.4}, {"weight_gradient": True}])
def test_tuple_critics_hand_similarities_to_the_loss(x64, options):
    rng = np.random.default_rng(7)
    n, m = 5, 6
    x, y = ({name: rng.uniform(-1, 1, (size, 3)) for name in "abc"} for size in (n, m))
    names = "abc" if "teacher_share" in options else "ab"

    def critic(_, x, y):
        return tuple(x[name] @ y[name].T for name in names)

    def dense(x, y):
        scores = critic((), x, y)
        return losses.similarity_regulated_loss(*scores, temperature=0.3, **options)

    def streamed(x, y):
        return pairwise.similarity_regulated_loss(
            critic, x, y, block_size=4, temperature=0.3, **options
        )

    got, expected = (
        quick_jit(jax.value_and_grad(each, (0, 1)))(x, y) for each in (streamed, dense)
    )
    assert_same(got, expected, "tuple")


def test_value_and_gradient_under_vmap(x64):
    rng = np.random.default_rng(8)
    x, y = rng.normal(size=(3, 5, 2)), rng.normal(size=(3, 7, 2))

    @quick_jit
    def both(x, y):
        streamed = jax.value_and_grad(partial(pairwise.info_nce_loss, dot, block_size=2), (0, 1))
        dense = jax.value_and_grad(lambda x, y: losses.info_nce_loss(dot((), x, y)), (0, 1))
        return jax.vmap(streamed)(x, y), jax.vmap(dense)(x, y)

    assert_same(*both(x, y), "vmap")


def test_a_critic_that_closes_over_a_traced_value_says_so():
    x, y = np.ones((4, 2), np.float32), np.ones((5, 2), np.float32)

    @quick_jit
    def loss(scale):
        return pairwise.info_nce_loss(lambda _, x, y: scale * x @ y.T, x, y, block_size=2)

    for function in (loss, jax.grad(loss)):
        with pytest.raises(ValueError, match=r"critic: .*traced.*params"):
            function(2.0)


@pytest.mark.parametrize(
    ("critic", "x", "y", "options", "message"),
    [
        (lambda p, x, y: y @ x.T, (4, 2), (5, 2), {}, r"critic: .*got .*\(2, 3\).*wanted \(3, 2\)"),
        (lambda p, x, y: x, (4, 2), (5, 2), {}, r"critic: .*got scores of shape.*wanted"),
        (lambda p, x, y: x, (4, 3), (5, 3), {}, r"critic: .*got scores of shape.*wanted"),
        (lambda p, x, y: (), (4, 2), (5, 2), {}, r"critic: .*got scores of shape.*wanted"),
        (dot, (4, 2), (5, 2), {"block_size": 0}, r"block_size: got 0, wanted .*at least 1"),
        (dot, (4, 2), (5, 2), {"block_size": -3}, r"block_size: got -3, wanted .*at least 1"),
        (dot, (4, 2), (5, 2), {"x_where": np.ones(5, bool)}, r"x_where: got shape \(5,\)"),
        (dot, (4, 2), (5, 2), {"x_group_id": np.ones(4, int)}, "add y_group_id"),
        (dot, (4, 2), (5, 2), {"where": np.ones((4, 5), bool)}, "where"),
    ],
)
def test_wrong_arguments_say_so(critic, x, y, options, message):
    arguments = [np.ones(shape, np.float32) for shape in (x, y)]
    with pytest.raises((ValueError, TypeError), match=message):
        pairwise.info_nce_loss(critic, *arguments, **{"block_size": 2, **options})


def test_leaves_whose_leading_axes_differ_say_so():
    x = {"a": np.ones((4, 2), np.float32), "b": np.ones((3, 2), np.float32)}
    with pytest.raises(ValueError, match=r"x: got .*4.*3.*wanted .*leading ax"):
        pairwise.info_nce_loss(lambda p, x, y: dot(p, x["a"], y), x, x["a"], block_size=2)
    with pytest.raises(ValueError, match=r"y: got .*wanted"):
        pairwise.info_nce_loss(lambda p, x, y: x["a"], x["a"], {}, block_size=2)


@one_of_each
def test_a_word_that_is_unknown_is_refused(loss):
    x = jnp.ones((3, 2))
    for how in ({"block_size": 2}, {}):
        with pytest.raises(TypeError, match=r"unexpected words \['x_posivite_id'\]"):
            loss.streamed(
                lambda params, x, y: (x @ y.T,) * loss.num_scores,
                *(x, x),
                **{**loss.options, **how, "x_posivite_id": x},
            )


def test_scores_and_similarities_are_never_ignored():
    x = jnp.ones((3, 2))
    with pytest.raises(ValueError, match="critic: got 2 scores a pair, wanted 1 at most"):
        pairwise.info_nce_loss(lambda params, x, y: (x @ y.T, x @ y.T), x, x)
    with pytest.raises(ValueError, match="similarities: got a matrix beside a critic"):
        pairwise.similarity_regulated_loss(dot, x, x, temperature=0.1, similarity=x @ x.T)


def test_the_options_of_a_loss_are_in_its_signature():
    shown = inspect.signature(pairwise.margin_ranking_loss).parameters
    assert [*shown][:6] == ["critic", "x", "y", "params", "block_size", "axis_name"]
    assert shown["margin"].default == 0.2
    assert "options" not in shown
