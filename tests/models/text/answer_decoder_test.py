import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.reference.downstream_vectors import VECTORS, assert_trees_close, drawn, tensors, zeros
from tests.reference.losses import quick_jit
from tvdim_jax.losses.sequences import sequence_log_likelihood
from tvdim_jax.models.text.answer_decoder import AnswerDecoder, answer_decoder_params
from tvdim_jax.models.text.bert import BertEncoder, BertFusion, WordPredictor
from tvdim_jax.weights import fill_bert

SIZES = {"vocab_size": 23, "width": 12, "num_heads": 3, "mlp_width": 20, "max_length": 10}
MODULE = AnswerDecoder(**SIZES, depth=2)
IDS, VALID, QUESTION, QUESTION_VALID = (
    VECTORS[f"decoder/{name}"] for name in ("input_ids", "valid", "question", "question_valid")
)
FRESH = zeros(MODULE, IDS, VALID, QUESTION, QUESTION_VALID, train=False)


def filled(kind):
    params, report = fill_bert(tensors(f"decoder/{kind}/"), FRESH)
    assert not report.new
    return params


def apply(params, ids, valid, question, question_valid):
    return MODULE.apply({"params": params}, ids, valid, question, question_valid, train=False)


run = quick_jit(apply)


def test_logits_likelihoods_and_gradients_match_hugging_face():
    def loss(params, question):
        logits = apply(params, IDS, VALID, question, QUESTION_VALID)
        nll = -sequence_log_likelihood(logits, IDS, VALID)
        return jnp.sum(nll * VECTORS["decoder/weight"]) / 2, (logits, nll)

    both = quick_jit(jax.value_and_grad(loss, (0, 1), has_aux=True))
    (value, (logits, nll)), gradients = both(filled("param"), QUESTION)
    np.testing.assert_allclose(value, VECTORS["decoder/loss"], rtol=1e-5)
    np.testing.assert_allclose(nll, VECTORS["decoder/nll"], rtol=1e-5)
    np.testing.assert_allclose(logits[VALID], VECTORS["decoder/logits"][VALID], atol=2e-5)
    assert_trees_close(gradients, (filled("grad"), VECTORS["decoder/grad_question"]))


def test_no_place_sees_what_follows_or_padding_or_the_mask_of_the_question():
    params, changed = filled("param"), IDS.copy()
    changed[:, 3:] = 11
    plain = run(params, IDS, VALID, QUESTION, QUESTION_VALID)
    later = run(params, changed, VALID, QUESTION, QUESTION_VALID)
    np.testing.assert_allclose(later[:, :3], plain[:, :3], atol=1e-6)
    assert np.abs(later[0, 3] - plain[0, 3]).max() > 0.1
    hidden = np.where(QUESTION_VALID[..., None], QUESTION, 9.0).astype(np.float32)
    np.testing.assert_allclose(run(params, IDS, VALID, hidden, QUESTION_VALID), plain, atol=1e-6)
    other = run(params, IDS, VALID, QUESTION + 1, QUESTION_VALID)
    assert np.abs(other - plain).max() > 0.1


def test_it_starts_from_the_pre_trained_text_side():
    valid, states = np.ones((1, 2), bool), np.zeros((1, 2, 12))
    text = drawn(BertEncoder(**SIZES, depth=2, pooler=False), IDS, VALID, train=False)
    layers = BertFusion(depth=2, num_heads=3, mlp_width=20)
    fusion = drawn(layers, states, valid, states, valid, train=False)
    words = drawn(WordPredictor(), states, np.zeros((23, 12)))
    params = answer_decoder_params(text, fusion, words)
    assert jax.tree.map(np.shape, params) == jax.tree.map(np.shape, FRESH)
    # On [CLS] alone nothing is causal: the decoder is embeddings, fusion and word predictor.
    start, one = IDS[:, :1], VALID[:, :1]
    embedding = text["tokens"]["embedding"]
    x = embedding[start] + text["positions"][0] + text["types"][0]
    x = (x - x.mean(-1, keepdims=True)) / x.std(-1, keepdims=True)
    x = (x * text["norm"]["scale"] + text["norm"]["bias"]).astype(np.float32)

    @quick_jit
    def by_parts(x):
        fused = layers.apply({"params": fusion}, x, one, QUESTION, QUESTION_VALID, train=False)
        tokens = fused.local_features["tokens"]
        return WordPredictor().apply({"params": words}, tokens, embedding)

    got = run(params, start, one, QUESTION, QUESTION_VALID)
    np.testing.assert_allclose(got, by_parts(x), atol=1e-5)

    images = np.zeros((1, 2, 7))
    fusion = zeros(layers, states, valid, images, valid, train=False)
    with pytest.raises(ValueError, match="attends to image features of width 7, questions have 12"):
        answer_decoder_params(text, fusion, words)


def test_the_base_size_has_its_parameters():
    module, valid = AnswerDecoder(30_522), np.ones((1, 2), bool)
    shapes = jax.eval_shape(
        lambda key: module.init(key, IDS[:1, :2], valid, np.zeros((1, 2, 768)), valid, train=False),
        jax.random.key(0),
    )
    count = sum(leaf.size for leaf in jax.tree.leaves(shapes))
    # Embeddings with their norm, six layers with cross-attention, and the word predictor.
    embeddings, head = (30_522 + 512 + 2 + 2) * 768, 768 * 768 + 3 * 768 + 30_522
    assert count == embeddings + 6 * (7_087_872 + 2_363_904) + head == 81_170_490


def test_dropout_is_seeded_and_bf16_is_close():
    params = filled("param")
    args = (IDS, VALID, QUESTION, QUESTION_VALID)
    dropping = MODULE.clone(dropout=0.3)

    @quick_jit
    def train(key):
        return dropping.apply({"params": params}, *args, train=True, rngs={"dropout": key})

    plain = run(params, *args)
    np.testing.assert_array_equal(train(jax.random.key(0)), train(jax.random.key(0)))
    assert np.abs(train(jax.random.key(0)) - train(jax.random.key(1))).max() > 0.1
    half = MODULE.clone(dtype=jnp.bfloat16)
    rounded = quick_jit(lambda: half.apply({"params": params}, *args, train=False))()
    assert rounded.dtype == jnp.float32
    error = np.linalg.norm((rounded - plain)[VALID]) / np.linalg.norm(plain[VALID])
    assert 1e-4 < error < 0.05


@pytest.mark.parametrize(
    ("changes", "shapes", "message"),
    [
        ({"max_length": 4}, [(2, 5), (2, 5)], "AnswerDecoder: texts of 5 tokens; wanted 1 to max"),
        ({}, [(2, 5), (2, 4)], "AnswerDecoder: token_ids have shape (2, 5), token_valid (2, 4)"),
        ({"num_heads": 5}, [(2, 5), (2, 5)], "AnswerDecoder: width is 12; wanted a multiple of"),
        ({}, [(3, 5), (3, 5)], "3 answers, question and question_valid have shapes (2, 4, 12)"),
    ],
)
def test_errors_say_what_was_wanted(changes, shapes, message):
    module = AnswerDecoder(**{**SIZES, "depth": 1} | changes)
    inputs = np.zeros(shapes[0], int), np.ones(shapes[1], bool)
    with pytest.raises(ValueError, match=re.escape(message)):
        zeros(module, *inputs, np.zeros((2, 4, 12)), np.ones((2, 4), bool), train=False)
