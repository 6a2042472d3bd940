"""Each learned critic in its two steps against NumPy, and its starting scores."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tvdim_jax.critics.pair_critic import make_pair_critic

N, M, WIDTH_X, WIDTH_Y = 5, 4, 6, 3


def features(n=N, m=M, width_x=WIDTH_X, width_y=WIDTH_Y):
    rng = np.random.default_rng(0)
    return tuple(
        jnp.asarray(rng.normal(size=shape), jnp.float32) for shape in ((n, width_x), (m, width_y))
    )


def scores_of(kind, hidden, x, y):
    critic = make_pair_critic(kind, hidden)
    params = critic.init(jax.random.key(1), x.shape[1], y.shape[1])
    return jax.tree.map(np.asarray, params), critic.score(params, *critic.project(params, x, y))


def test_bilinear():
    x, y = features()
    params, scores = scores_of("bilinear", (7,), x, y)
    np.testing.assert_allclose(
        scores, np.asarray(x) @ params["kernel"] @ np.asarray(y).T, rtol=1e-5
    )


def test_dot_of_two_embeddings():
    x, y = features()
    params, scores = scores_of("dot", (9, 7), x, y)
    assert params["x"].shape == (WIDTH_X, 7)
    expected = (np.asarray(x) @ params["x"]) @ (np.asarray(y) @ params["y"]).T / np.sqrt(7)
    np.testing.assert_allclose(scores, expected, rtol=1e-4, atol=1e-6)


def test_mlp_on_every_pair():
    x, y = features()
    params, scores = scores_of("mlp", (8, 5), x, y)
    first, second, last = (params[f"layers_{i}"] for i in range(3))
    for i, j in np.ndindex(N, M):
        hidden = x[i] @ first["x"] + y[j] @ first["y"] + first["bias"]
        hidden = np.maximum(hidden, 0) @ second["kernel"] + second["bias"]
        expected = np.maximum(hidden, 0) @ last["kernel"] + last["bias"]
        np.testing.assert_allclose(scores[i, j], expected[0], rtol=1e-4, atol=1e-6)


def test_the_papers_critic_has_the_papers_size():
    params = make_pair_critic("mlp").init(jax.random.key(0), 768, 768)
    assert sum(leaf.size for leaf in jax.tree.leaves(params)) == 2_099_201


@pytest.mark.parametrize("kind", ["bilinear", "dot"])
def test_scores_start_at_the_order_of_one(kind):
    x, y = features(64, 64, 128, 768)
    _, scores = scores_of(kind, (512,), x, y)
    assert 0.5 < float(jnp.std(scores)) < 2


@pytest.mark.parametrize("kind", ["mlp", "bilinear", "dot"])
def test_tiles_and_bfloat16(kind):
    x, y = features()
    critic = make_pair_critic(kind, (8, 5))
    params = critic.init(jax.random.key(1), WIDTH_X, WIDTH_Y)
    projected = critic.project(params, x, y)
    whole = critic.score(params, *projected)
    np.testing.assert_allclose(
        critic.score(params, projected[0][1:3], projected[1][2:]), whole[1:3, 2:], rtol=1e-5
    )
    low = critic.project(params, x.astype(jnp.bfloat16), y.astype(jnp.bfloat16))
    assert {each.dtype for each in low} == {jnp.dtype(jnp.bfloat16)}
    scores = critic.score(params, *low)
    assert scores.dtype == jnp.float32
    np.testing.assert_allclose(scores, whole, rtol=0.1, atol=0.05)


def test_another_kind_says_which_there_are():
    with pytest.raises(ValueError, match="critic: got 'cosine', wanted one of mlp, bilinear, dot"):
        make_pair_critic("cosine")
