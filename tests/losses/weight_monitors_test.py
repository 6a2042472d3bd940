"""The summary of weights against the loop, dense, in tiles and on eight devices."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType

from tests.reference import numpy_losses, numpy_srcl
from tests.reference.losses import quick_jit, row_words
from tvdim_jax.losses import pairwise, weight_summary

N, TAU = 8, 0.3
WORDS = row_words(np.random.default_rng(3), N, N)
OPTIONS = {"norm": "softmax", "delta": 5.0, "teacher_share": 0.4, "temperature": TAU}


def unit(rng, num):
    vectors = rng.normal(size=(num, 4))
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def features():
    rng = np.random.default_rng(2)
    return [{name: unit(rng, N) for name in ("student", "teacher")} for _ in range(2)]


def critic(_, x, y):
    scores = x["student"] @ y["student"].T
    return scores, scores, x["teacher"] @ y["teacher"].T


def by_loop(scores, similarity, teacher, words):
    _, negative = numpy_losses.pair_kinds(N, N, **words)
    closeness = 0.4 * np.exp(teacher) + 0.6 * np.exp(similarity)
    weights = numpy_srcl.weights_of(closeness, negative, "softmax", 5.0)
    rows = [i for i in range(N) if negative[i].any()]
    effects = []
    for i in rows:
        f, w = np.exp(scores[i][negative[i]] / TAU), weights[i][negative[i]]
        effects.append(np.log(np.mean(w * f) / np.mean(f)))
    return {
        "below_0.2": np.mean(weights[negative] < 0.2),
        "below_0.7": np.mean(weights[negative] < 0.7),
        "row_mean": np.mean([weights[i][negative[i]].mean() for i in rows]),
        "log_effect": np.mean(effects),
    }


@pytest.mark.parametrize("words", [{}, WORDS], ids=["plain", "masked"])
def test_equal_to_the_loop(x64, words):
    x, y = features()
    tables = critic((), x, y)
    expected = by_loop(*tables, words)
    assert 0 < expected["below_0.2"] < expected["below_0.7"] < 1
    mesh = jax.make_mesh((8,), ("rows",), axis_types=(AxisType.Auto,))
    split = jax.P("rows")

    def streamed(x, y, words, **how):
        return pairwise.weight_summary(critic, x, y, **OPTIONS, **how, **words)

    ring = jax.shard_map(
        partial(streamed, axis_name="rows"), mesh=mesh, in_specs=split, out_specs=jax.P()
    )
    forms = {
        "dense": lambda *_: weight_summary(*tables, **OPTIONS, **words),
        "tiles": partial(streamed, block_size=3),
        "ring": ring,
    }
    for form, summary in forms.items():
        got = quick_jit(summary)(x, y, words)
        assert got.keys() == expected.keys()
        for name, value in expected.items():
            np.testing.assert_allclose(got[name], value, rtol=1e-10, err_msg=f"{form} {name}")


def test_equal_similarities_weigh_alike_and_nothing_flows_back():
    scores = jnp.asarray(np.random.default_rng(0).normal(size=(N, N)), jnp.float32)
    alike = partial(weight_summary, similarity=jnp.zeros((N, N)), temperature=0.01)
    summary = {name: float(value) for name, value in alike(scores).items()}
    np.testing.assert_allclose(summary["row_mean"], 1, rtol=1e-6)
    np.testing.assert_allclose(summary["log_effect"], 0, atol=1e-4)
    assert summary["below_0.2"] == summary["below_0.7"] == 0
    gradient = jax.grad(lambda s: sum(weight_summary(s, temperature=0.1).values()))(scores)
    assert not np.any(gradient)


def test_without_negatives_all_is_zero():
    summary = weight_summary(jnp.ones((1, 1)), temperature=0.1)
    assert {float(value) for value in summary.values()} == {0.0}


def test_options_out_of_range_say_so():
    scores = jnp.zeros((2, 2))
    for options, message in [
        ({"temperature": 0.0}, "temperature: got 0.0"),
        ({"temperature": 1.0, "norm": "mean"}, "norm: got 'mean'"),
        ({"temperature": 1.0, "teacher_share": 0.5}, "teacher_share: got 0.5"),
    ]:
        with pytest.raises(ValueError, match=message):
            weight_summary(scores, **options)
