import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tvdim_jax.models.text.bert_layers import BertAttention, BertLayer, bert_layers, dense

X = np.random.default_rng(0).normal(size=(3, 5, 8)).astype(np.float32)
OTHER = np.random.default_rng(1).normal(size=(3, 4, 6)).astype(np.float32)
VALID = np.array([[1, 1, 1, 1, 1], [1, 0, 1, 0, 0], [0, 0, 0, 0, 0]], bool)
OTHER_VALID = np.array([[1, 1, 0, 1], [0, 0, 0, 1], [0, 0, 0, 0]], bool)
LAYER = {"num_heads": 2, "mlp_width": 12, "dropout": 0.25, "train": False, "dtype": jnp.float32}


def large(module, *args):
    """Parameters so large that every part matters."""
    shapes = jax.eval_shape(lambda key: module.init(key, *args), jax.random.key(0))
    rng = np.random.default_rng(2)
    return jax.tree.map(
        lambda leaf: rng.normal(size=leaf.shape, scale=0.4).astype(np.float32), shapes
    )


@pytest.mark.parametrize(
    ("other", "valid"), [(X, VALID), (OTHER, OTHER_VALID)], ids=["self", "cross"]
)
def test_attention_against_loops(other, valid):
    attention = BertAttention(2, 0.0, False, jnp.float32)
    variables = large(attention, X, other, valid)
    params = variables["params"]
    got = attention.apply(variables, X, other, valid)
    for b in range(3):
        q, k, v = (
            source[b] @ params[name]["kernel"] + params[name]["bias"]
            for source, name in [(X, "query"), (other, "key"), (other, "value")]
        )
        mixed = np.zeros((5, 8))
        for head in (slice(0, 4), slice(4, 8)):
            for t in range(5):
                seen = np.flatnonzero(valid[b])
                scores = np.array([q[t, head] @ k[s, head] / math.sqrt(4) for s in seen])
                weights = np.exp(scores) / np.exp(scores).sum()
                # Nothing to attend to: the mean of all values.
                mixed[t, head] = weights @ v[seen, head] if len(seen) else v[:, head].mean(0)
        wanted = mixed @ params["out"]["kernel"] + params["out"]["bias"]
        np.testing.assert_allclose(got[b], wanted, atol=1e-5)


@pytest.mark.parametrize("features", [(None, None), (OTHER, OTHER_VALID)], ids=["self", "cross"])
def test_the_stack_is_its_layers_one_after_the_other(features):
    layer, layers = BertLayer(**LAYER), bert_layers(3, **LAYER)
    variables = large(layers, X, VALID, *features)
    got, _ = layers.apply(variables, X, VALID, *features)
    wanted = X
    for i in range(3):
        own = jax.tree.map(lambda leaf, i=i: leaf[i], variables)
        wanted, _ = layer.apply(own, wanted, VALID, *features)
    np.testing.assert_allclose(got, wanted, atol=1e-5)
    assert ("cross_attention" in variables["params"]) == (features[0] is not None)


def test_initial_kernels_are_normal_and_differ_between_layers():
    layers = bert_layers(2, **{**LAYER, "num_heads": 4, "mlp_width": 256})
    x, valid = np.zeros((1, 2, 48), np.float32), np.ones((1, 2), bool)
    params = jax.jit(lambda key: layers.init(key, x, valid, None, None))(jax.random.key(0))
    kernel = np.asarray(params["params"]["dense_1"]["kernel"])
    for each in (kernel, params["params"]["dense_2"]["kernel"]):
        assert abs(np.std(each) / 0.08 - 1) < 0.02  # 16 times narrower than BERT-base: 4 times 0.02
    assert 2.8 < (kernel**4).mean() / kernel.var() ** 2 < 3.2  # 1.8 for a uniform draw
    assert abs(np.corrcoef(kernel[0].ravel(), kernel[1].ravel())[0, 1]) < 0.05
    assert not np.any(params["params"]["dense_1"]["bias"])


@pytest.mark.parametrize("width", [768, 1024])
def test_from_the_width_of_bert_base_on_kernels_are_its_own(width):
    kernel = dense(64, np.float32, "x", width=width).init(jax.random.key(0), np.zeros((1, width)))
    assert abs(np.std(kernel["params"]["kernel"]) / 0.02 - 1) < 0.02


def test_dropout_falls_on_weights_and_branches_of_each_layer_on_its_own():
    layers = bert_layers(2, **{**LAYER, "train": True})
    variables = large(layers, X, VALID, OTHER, OTHER_VALID)
    x, other = np.repeat(X, 20, 0), np.repeat(OTHER, 20, 0)
    masks = np.ones((60, 5), bool), np.ones((60, 4), bool)

    @jax.jit
    def run(key):
        return layers.apply(
            variables, x, masks[0], other, masks[1], rngs={"dropout": key},
            capture_intermediates=True, mutable=["intermediates"],
        )[1]["intermediates"]  # fmt: skip

    caught = run(jax.random.key(0))
    attentions = [caught["attention"], caught["cross_attention"]]
    places = [*(tree["Dropout_0"] for tree in attentions)]
    places += [caught[f"Dropout_{i}"] for i in range(3)]
    dropped = [np.asarray(place["__call__"][0]) == 0 for place in places]
    shapes = [(2, 60, 2, 5, 5), (2, 60, 2, 5, 4), *[(2, 60, 5, 8)] * 3]
    assert [each.shape for each in dropped] == shapes
    for each in dropped:
        np.testing.assert_allclose(each.mean(tuple(range(1, each.ndim))), 0.25, atol=0.03)
        assert abs(np.corrcoef(each[0].ravel(), each[1].ravel())[0, 1]) < 0.06
    weights = np.asarray(places[0]["__call__"][0])
    # Kept weights are scaled, so that each row sums to 1 on average.
    np.testing.assert_allclose(weights.sum(-1).mean(), 1.0, atol=0.03)
