import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tvdim_jax.models.heads import LinearHead, ResidualHead
from tvdim_jax.models.text.bert import BertFusion, WordPredictor
from tvdim_jax.models.variants import make_image_encoder, make_text_encoder


def run(head, x, variables=None, *, train):
    if variables is None:
        variables = jax.jit(lambda key: head.init(key, x, train=False))(jax.random.key(3))
    outputs, updated = head.apply(variables, x, train=train, mutable=["batch_stats"])
    return outputs, variables, updated


@pytest.mark.parametrize("use_bn", [False, True])
def test_formula_in_numpy(use_bn):
    x = np.random.default_rng(0).normal(size=(3, 2, 2, 5)).astype(np.float32)
    head = ResidualHead(7, use_bn=use_bn)
    _, variables, _ = run(head, x, train=False)
    rng = np.random.default_rng(1)
    variables = jax.tree.map(lambda leaf: rng.uniform(0.5, 1.5, leaf.shape), variables)
    outputs, _, updated = run(head, x, variables, train=True)
    params = variables["params"]

    def norm(y, name):
        flat = y.reshape(-1, 7)
        y = (y - flat.mean(0)) / np.sqrt(flat.var(0) + 1e-5)
        return y * params[name]["scale"] + params[name]["bias"]

    hidden = x @ params["dense_1"]["kernel"]
    hidden = norm(hidden, "batch_norm_hidden") if use_bn else hidden
    total = np.maximum(hidden, 0) @ params["dense_2"]["kernel"]
    total = total + x @ params["shortcut"]["kernel"] + params["shortcut"]["bias"]
    np.testing.assert_allclose(outputs, norm(total, "batch_norm"), atol=2e-4)
    mean = 0.9 * variables["batch_stats"]["batch_norm"]["mean"] + 0.1 * total.mean((0, 1, 2))
    np.testing.assert_allclose(updated["batch_stats"]["batch_norm"]["mean"], mean, rtol=1e-5)


@pytest.mark.parametrize(("width", "features"), [(6, 9), (6, 6), (6, 4)])
def test_starts_as_a_near_identity_shortcut(width, features):
    x = jax.random.normal(jax.random.key(0), (64, width))
    _, variables, _ = run(ResidualHead(features), x, train=False)
    params = variables["params"]
    assert not params["dense_2"]["kernel"].any()
    assert np.abs(params["shortcut"]["bias"]).max() <= 1 / np.sqrt(width)
    kernel = params["shortcut"]["kernel"]
    if features < width:  # no identity fits: plain fan-in uniform
        assert 0.1 < np.abs(kernel).max() <= 1 / np.sqrt(width)
        return
    np.testing.assert_array_equal(np.diagonal(kernel), 1.0)
    off_diagonal = kernel - np.eye(width, features, dtype=np.float32)
    assert 0.008 < np.abs(off_diagonal).max() <= 0.01


def test_serves_a_text_vector_and_returns_float32():
    x = jax.random.normal(jax.random.key(0), (16, 8)).astype(jnp.bfloat16)
    outputs, variables, _ = run(ResidualHead(12, dtype=jnp.bfloat16), x, train=True)
    assert outputs.shape == (16, 12)
    assert outputs.dtype == jnp.float32
    assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {jnp.dtype("float32")}
    np.testing.assert_allclose(outputs.mean(0), 0, atol=1e-4)


def test_linear_head_starts_as_torch_does_and_is_one_product():
    x = np.random.default_rng(0).normal(size=(3, 400)).astype(np.float32)
    head = LinearHead(50)
    variables = jax.jit(lambda key: head.init(key, x))(jax.random.key(3))
    params = jax.tree.map(np.asarray, variables["params"]["dense"])
    for leaf, shape in [(params["kernel"], (400, 50)), (params["bias"], (50,))]:
        assert leaf.shape == shape
        assert 0.045 < np.abs(leaf).max() <= 0.05  # 1 / sqrt(400)
    outputs = head.apply(variables, x)
    np.testing.assert_allclose(outputs, x @ params["kernel"] + params["bias"], atol=1e-5)
    assert (
        LinearHead(2, dtype=jnp.bfloat16)
        .apply(jax.tree.map(lambda leaf: leaf[..., :2], variables), x)
        .dtype
        == jnp.float32
    )


def count(module, *inputs, **options):
    shapes = jax.eval_shape(lambda: module.init(jax.random.key(0), *inputs, **options)["params"])
    return sum(leaf.size for leaf in jax.tree.leaves(shapes))


def test_srcl_has_the_parameters_of_the_paper():
    ids, valid = jnp.zeros((1, 25), jnp.int32), jnp.ones((1, 25), bool)
    tokens, vector = jnp.zeros((1, 25, 768)), jnp.zeros((1, 768))
    text = make_text_encoder("bert_base_6", vocab_size=30_522, max_length=512)
    image = make_image_encoder("vit_b16", image_size=256)
    embedding = jnp.zeros((30_522, 768))
    counts = {
        "image": count(image, jnp.zeros((1, 256, 256, 3)), train=False),
        "text": count(text, ids, valid, train=False),
        "fusion": count(BertFusion(), tokens, valid, tokens, valid, train=False),
        "words": count(WordPredictor(), tokens, embedding),
        "projections": 2 * count(LinearHead(256), vector),
        "matching": count(LinearHead(2), vector),
        "temperature": 1,
    }
    assert counts["text"] + counts["fusion"] == 123_075_072
    assert counts["words"] == 123_697_722 - 123_075_072
    assert counts["projections"] == 393_728
    assert counts["matching"] == 1_538
    assert sum(counts.values()) == 209_937_725
