import math
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tvdim_jax.models.text.transformer import TextTransformer

VALID = np.array([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0], [0, 0, 0, 0, 0]], bool)
IDS = np.array([[1, 5, 6, 7, 2], [1, 8, 2, 0, 0], [0, 0, 0, 0, 0]], np.int32)


def build(**changes):
    encoder = TextTransformer(
        **{"vocab_size": 11, "width": 8, "depth": 2, "num_heads": 2} | changes
    )
    variables = jax.jit(lambda key: encoder.init(key, IDS, VALID, train=False))(jax.random.key(0))
    rng = np.random.default_rng(0)  # large weights, so that every part matters
    return encoder, jax.tree.map(lambda x: rng.normal(size=x.shape, scale=0.4), variables)


def evaluate(encoder, variables, ids=IDS, valid=VALID):
    return jax.jit(lambda v: encoder.apply(v, ids, valid, train=False))(variables)


def test_against_loops_in_numpy():
    encoder, variables = build()
    features = evaluate(encoder, variables)
    for b in range(2):
        tokens = numpy_transformer(variables["params"], IDS[b], VALID[b])
        np.testing.assert_allclose(features.local_features["tokens"][b], tokens, atol=2e-5)
        np.testing.assert_allclose(features.global_features[b], tokens[0], atol=2e-5)


def numpy_transformer(params, ids, valid):
    x = params["tokens"]["embedding"][ids] + params["positions"][: len(ids)]
    for i in range(2):
        block = params[f"block_{i}"]
        x = x + numpy_attention(block["attention"], norm(x, block["norm_1"]), valid)
        hidden = dense(norm(x, block["norm_2"]), block["dense_1"])
        hidden = hidden * 0.5 * (1 + np.vectorize(math.erf)(hidden / np.sqrt(2)))
        x = x + dense(hidden, block["dense_2"])
    return norm(x, params["norm"])


def norm(x, params):
    x = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-6)
    return x * params["scale"] + params["bias"]


def dense(x, params):
    return x @ params["kernel"] + params["bias"]


def numpy_attention(params, x, valid):
    out = np.zeros_like(x)
    for head in range(2):
        q, k, v = (
            x @ params[name]["kernel"][:, head] + params[name]["bias"][head]
            for name in ("query", "key", "value")
        )
        for t in range(len(x)):
            scores = [q[t] @ k[s] / np.sqrt(4) for s in range(len(x)) if valid[s]]
            weights = np.exp(scores - np.max(scores))
            mixed = weights @ v[valid] / weights.sum()
            out[t] += mixed @ params["out"]["kernel"][head]
    return out + params["out"]["bias"]


def test_padding_changes_nothing_and_a_text_without_tokens_is_finite():
    encoder, variables = build()
    features = evaluate(encoder, variables)
    other_ids = np.where(VALID, IDS, 9)
    np.testing.assert_array_equal(
        features.global_features[:2],
        evaluate(encoder, variables, other_ids).global_features[:2],
    )
    short = evaluate(encoder, variables, IDS[1:2, :3], VALID[1:2, :3])
    np.testing.assert_allclose(
        short.global_features[0], features.global_features[1], rtol=1e-5, atol=1e-5
    )
    assert np.isfinite(features.local_features["tokens"]).all()
    loss = lambda v: encoder.apply(v, IDS, VALID, train=False).global_features.var()  # noqa: E731
    grads = jax.jit(jax.grad(loss))(variables)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(grads))


def test_dropout_is_seeded_unbiased_and_off_in_evaluation():
    encoder, variables = build(dropout=0.25)

    @jax.jit
    def train(key):
        outputs = encoder.apply(variables, IDS, VALID, train=True, rngs={"dropout": key})
        return outputs.global_features

    first = train(jax.random.key(0))
    np.testing.assert_array_equal(first, train(jax.random.key(0)))
    assert np.abs(first - train(jax.random.key(1))).max() > 0.1
    np.testing.assert_array_equal(
        evaluate(encoder, variables)[0], evaluate(build(dropout=0.0)[0], variables)[0]
    )
    bound = encoder.bind(variables, rngs={"dropout": jax.random.key(2)})
    factors = np.asarray(bound._dropout_factors(64, 8, train=True))
    assert set(np.unique(factors)) == {0.0, np.float32(1 / 0.75)}
    np.testing.assert_allclose(factors.mean((1, 2, 3)), 1.0, atol=0.05)  # each place its own draw
    assert abs(np.corrcoef(factors[0].ravel(), factors[1].ravel())[0, 1]) < 0.1


def test_bf16_is_close_and_returns_float32():
    encoder, variables = build()
    half, _ = build(dtype=jnp.bfloat16)
    wanted = np.asarray(evaluate(encoder, variables).global_features[:2])
    got = evaluate(half, variables).global_features[:2]
    assert got.dtype == jnp.float32
    error = np.linalg.norm(got - wanted) / np.linalg.norm(wanted)
    assert 1e-4 < error < 0.05


@pytest.mark.parametrize(
    ("changes", "shapes", "message"),
    [
        ({"max_length": 4}, ((2, 5), (2, 5)), "texts of 5 tokens; wanted at most max_length = 4"),
        ({}, ((2, 5), (2, 4)), "token_ids have shape (2, 5), token_valid (2, 4); wanted [B, T]"),
        ({"num_heads": 3}, ((2, 5), (2, 5)), "width is 8; wanted a multiple of num_heads = 3"),
    ],
)
def test_errors_say_what_was_wanted(changes, shapes, message):
    encoder = TextTransformer(**{"vocab_size": 11, "width": 8, "num_heads": 2} | changes)
    ids, valid = jnp.zeros(shapes[0], jnp.int32), jnp.ones(shapes[1], bool)
    with pytest.raises(ValueError, match=re.escape(message)):
        jax.eval_shape(lambda key: encoder.init(key, ids, valid, train=False), jax.random.key(0))
