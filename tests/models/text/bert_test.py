import re
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.reference.bert_vectors import (
    VECTORS,
    encoder,
    fresh_encoder,
    fresh_fusion,
    fresh_predictor,
    fusion,
    tensors,
)
from tvdim_jax.models.text.bert import BertEncoder, BertFusion, WordPredictor
from tvdim_jax.weights import fill_bert

IDS = VECTORS["bert/input_ids"].astype(np.int32)
VALID = VECTORS["bert/attention_mask"] > 0


def bert_tree(kind):
    """Their parameters or gradients in our layout, and those of the word predictor."""
    fresh = {**fresh_encoder(encoder()), "word_predictor": fresh_predictor()}
    tree, report = fill_bert(tensors(f"bert/{kind}/"), fresh)
    assert not report.new
    head = tree.pop("word_predictor")
    return tree, head


PARAMS, HEAD = bert_tree("param")


@partial(jax.jit, static_argnums=0)
def run(module, params, *inputs):
    """Features, and the states after each layer `[depth, B, T, D]`."""
    features, caught = module.apply(
        {"params": params},
        *inputs,
        train=False,
        capture_intermediates=True,
        mutable=["intermediates"],
    )
    return features, caught["intermediates"]["layers"]["__call__"][0][0]


def assert_gradients_agree(got, wanted, tolerance=1e-5):
    for (path, ours), theirs in zip(
        jax.tree.leaves_with_path(got), jax.tree.leaves(wanted), strict=True
    ):
        scale = np.abs(theirs).max()
        np.testing.assert_allclose(
            ours, theirs, rtol=0, atol=tolerance * scale, err_msg=jax.tree_util.keystr(path)
        )


def test_every_layer_pooler_and_word_logits_match_hugging_face():
    features, states = run(encoder(), PARAMS, IDS, VALID)
    np.testing.assert_allclose(states, VECTORS["bert/hidden_states"][1:], atol=1e-5)
    np.testing.assert_allclose(features.local_features["tokens"], states[-1])
    np.testing.assert_allclose(features.global_features, VECTORS["bert/pooled"], atol=1e-5)
    logits = WordPredictor().apply({"params": HEAD}, states[-1], PARAMS["tokens"]["embedding"])
    np.testing.assert_allclose(logits, VECTORS["bert/logits"], atol=1e-5)


def test_gradients_match_hugging_face():
    def loss(params, head):
        features = encoder().apply({"params": params}, IDS, VALID, train=False)
        tokens, words = features.local_features["tokens"], params["tokens"]["embedding"]
        logits = WordPredictor().apply({"params": head}, tokens, words)
        pooled = jnp.sum(features.global_features * VECTORS["bert/weight_pooled"])
        return pooled + jnp.sum(logits * VECTORS["bert/weight_logits"]) / 10

    value, gradients = jax.jit(jax.value_and_grad(loss, (0, 1)))(PARAMS, HEAD)
    np.testing.assert_allclose(value, VECTORS["bert/loss"], rtol=1e-5)
    got, wanted = gradients, bert_tree("grad")
    for tree in (got[0], wanted[0]):  # torch gives the lookup of padding no gradient, we do
        tree["tokens"]["embedding"] = tree["tokens"]["embedding"][1:]
    # The key bias shifts all scores of a row alike: its gradient is rounding noise.
    for tree in (got[0], wanted[0]):
        bias = tree["layers"]["attention"]["key"].pop("bias")
        assert np.abs(bias).max() < 1e-4
    assert_gradients_agree(got, wanted)


def test_the_lmi_release_matches():
    sizes = {"vocab_size": 41, "width": 12, "depth": 2, "num_heads": 3, "mlp_width": 20}
    module = BertEncoder(**sizes, max_length=16)
    params, report = fill_bert(tensors("lmi/param/"), fresh_encoder(module))
    assert not report.new
    ids, valid = VECTORS["lmi/input_ids"], VECTORS["lmi/attention_mask"] > 0
    features = run(module, params, ids.astype(np.int32), valid)[0]
    np.testing.assert_allclose(
        features.local_features["tokens"], VECTORS["lmi/last_hidden_state"], atol=1e-5
    )
    np.testing.assert_allclose(features.global_features, VECTORS["lmi/pooled"], atol=1e-5)


def test_the_first_layers_are_an_encoder_without_pooler():
    module = encoder(depth=2, pooler=False)
    params, _ = fill_bert(tensors("bert/param/"), fresh_encoder(module))
    features = run(module, params, IDS, VALID)[0]
    wanted = VECTORS["bert/hidden_states"][2]
    np.testing.assert_allclose(features.local_features["tokens"], wanted, atol=1e-5)
    np.testing.assert_allclose(features.global_features, wanted[:, 0], atol=1e-5)
    assert module.num_features == 12


def fusion_case():
    masks = VECTORS["fusion/token_mask"] > 0, VECTORS["fusion/other_mask"] > 0
    trees = [fill_bert(tensors(f"fusion/{kind}/"), fresh_fusion(fusion())) for kind in PAIR]
    assert not any(report.new for _, report in trees)
    inputs = VECTORS["fusion/tokens"], masks[0], VECTORS["fusion/other"], masks[1]
    return trees[0][0], trees[1][0], inputs


PAIR = ("param", "grad")


def test_fusion_and_its_gradients_match_albef_layers():
    params, wanted, (tokens, token_valid, other, other_valid) = fusion_case()
    features, states = run(fusion(), params, tokens, token_valid, other, other_valid)
    np.testing.assert_allclose(states, VECTORS["fusion/hidden_states"], atol=1e-5)
    np.testing.assert_allclose(features.global_features, states[-1][:, 0])

    def loss(params, tokens, other):
        out = fusion().apply(
            {"params": params}, tokens, token_valid, other, other_valid, train=False
        )
        return jnp.sum(out.local_features["tokens"] * VECTORS["fusion/weight"])

    got = jax.jit(jax.grad(loss, (0, 1, 2)))(params, tokens, other)
    for tree in (got[0], wanted):
        for attention in ("attention", "cross_attention"):
            assert np.abs(tree["layers"][attention]["key"].pop("bias")).max() < 1e-4
    inputs = VECTORS["fusion/grad_tokens"], VECTORS["fusion/grad_other"]
    assert_gradients_agree(got, (wanted, *inputs))


def test_padding_and_length_change_nothing():
    features = run(encoder(), PARAMS, IDS, VALID)[0]
    other = run(encoder(), PARAMS, np.where(VALID, IDS, 9), VALID)[0]
    np.testing.assert_array_equal(other.global_features[:3], features.global_features[:3])
    short = run(encoder(), PARAMS, IDS[1:2, :3], VALID[1:2, :3])[0]
    np.testing.assert_allclose(short.global_features[0], features.global_features[1], atol=1e-6)


def test_a_text_without_tokens_has_finite_gradients():
    def loss(params):
        features = encoder().apply({"params": params}, IDS[3:], VALID[3:], train=False)
        return features.global_features.var() + features.local_features["tokens"].var()

    gradients = jax.jit(jax.grad(loss))(PARAMS)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradients))
    assert np.abs(gradients["pooler"]["kernel"]).max() > 0


def test_further_leading_axes_are_kept():
    ids, valid = IDS.reshape(2, 2, 7), VALID.reshape(2, 2, 7)
    features = run(encoder(), PARAMS, ids, valid)[0]
    flat = run(encoder(), PARAMS, IDS, VALID)[0]
    assert features.global_features.shape == (2, 2, 12)
    np.testing.assert_allclose(
        features.local_features["tokens"].reshape(4, 7, 12), flat.local_features["tokens"],
        atol=1e-6,
    )  # fmt: skip
    np.testing.assert_allclose(
        features.global_features.reshape(4, 12), flat.global_features, atol=1e-6
    )


def test_dropout_is_seeded_and_falls_on_embeddings_and_pooled_vector():
    module = encoder(dropout=0.25)

    @jax.jit
    def train(key):
        return module.apply(
            {"params": PARAMS}, IDS, VALID, train=True, rngs={"dropout": key},
            capture_intermediates=True, mutable=["intermediates"],
        )  # fmt: skip

    features, caught = train(jax.random.key(0))
    np.testing.assert_array_equal(features[0], train(jax.random.key(0))[0].global_features)
    assert np.abs(features[0] - train(jax.random.key(1))[0].global_features).max() > 0.1
    first, last = (caught["intermediates"][f"Dropout_{i}"]["__call__"][0] for i in range(2))
    norm = np.asarray(caught["intermediates"]["norm"]["__call__"][0])
    assert 0.15 < np.mean(first == 0) < 0.35
    np.testing.assert_allclose(first, np.where(first == 0, 0, norm / 0.75), rtol=1e-6)
    assert 0.05 < np.mean(last == 0) < 0.45
    np.testing.assert_array_equal(last, features.global_features)


def test_bf16_is_close_and_returns_float32():
    features = run(encoder(dtype=jnp.bfloat16), PARAMS, IDS, VALID)[0]
    tokens = features.local_features["tokens"]
    assert features.global_features.dtype == tokens.dtype == jnp.float32
    wanted = VECTORS["bert/hidden_states"][-1]
    error = np.linalg.norm(tokens - wanted) / np.linalg.norm(wanted)
    assert 1e-4 < error < 0.05
    np.testing.assert_allclose(np.asarray(tokens).std(), np.asarray(wanted).std(), rtol=0.02)
    words = PARAMS["tokens"]["embedding"]
    logits = WordPredictor(jnp.bfloat16).apply({"params": HEAD}, tokens, words)
    assert logits.dtype == jnp.float32


def count(module, *args, **options):
    shapes = jax.eval_shape(lambda key: module.init(key, *args, **options), jax.random.key(0))
    sizes = {name: jax.tree.leaves(tree) for name, tree in shapes["params"].items()}
    return {name: sum(leaf.size for leaf in leaves) for name, leaves in sizes.items()}


def test_albef_has_its_parameters():
    """The counts of ALBEF's text side and of one layer, cross-attention apart."""
    ids, valid = jnp.zeros((1, 2), jnp.int32), jnp.ones((1, 2), bool)
    states = jnp.zeros((1, 2, 768))
    text = count(BertEncoder(30_522, depth=6, pooler=False), ids, valid, train=False)
    fused = count(BertFusion(), states, valid, states, valid, train=False)
    head = count(WordPredictor(), states, jnp.zeros((30_522, 768)))
    total = sum(text.values()) + sum(fused.values())
    assert text["layers"] == 6 * 7_087_872
    assert fused["layers"] == 6 * (7_087_872 + 2_363_904)
    assert (total, total + sum(head.values())) == (123_075_072, 123_697_722)


TEXT = ((2, 5), (2, 5))


@pytest.mark.parametrize(
    ("changes", "shapes", "message"),
    [
        ({"max_length": 4}, TEXT, "texts of 5 tokens; wanted 1 to max_length = 4"),
        ({}, ((2, 0), (2, 0)), "texts of 0 tokens; wanted 1 to max_length = 10"),
        ({}, ((2, 5), (2, 4)), "token_ids have shape (2, 5), token_valid (2, 4); wanted [B, T]"),
        ({"num_heads": 5}, TEXT, "width is 12; wanted a multiple of num_heads = 5"),
    ],
)
def test_encoder_errors_say_what_was_wanted(changes, shapes, message):
    ids, valid = jnp.zeros(shapes[0], jnp.int32), jnp.ones(shapes[1], bool)
    with pytest.raises(ValueError, match=re.escape(message)):
        count(encoder(**changes), ids, valid, train=False)


@pytest.mark.parametrize(
    ("changes", "shapes", "message"),
    [
        ({}, [(2, 5, 12), (2, 5), (3, 4, 7), (3, 4)], "[B, K, D_other] and [B, K]. Give one image"),
        ({}, [(2, 5, 12), (2, 4), (2, 4, 7), (2, 4)], "have shapes [(2, 5, 12), (2, 4),"),
        ({"num_heads": 5}, [(2, 5, 12), (2, 5), (2, 4, 7), (2, 4)], "BertFusion: width is 12"),
    ],
)
def test_fusion_errors_say_what_was_wanted(changes, shapes, message):
    tokens, valid, other, other_valid = (jnp.zeros(shape) for shape in shapes)
    with pytest.raises(ValueError, match=re.escape(message)):
        count(fusion(**changes), tokens, valid > 0, other, other_valid > 0, train=False)
