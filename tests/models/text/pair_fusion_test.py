import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.reference.downstream_vectors import VECTORS, assert_trees_close, drawn, tree, zeros
from tests.reference.losses import quick_jit
from tvdim_jax.models.text.bert import BertFusion
from tvdim_jax.models.text.pair_fusion import PairFusion, PairHead, pair_fusion_params

MODULE = PairFusion(depth=2, num_heads=3, mlp_width=20)
TOKENS, TOKEN_VALID, IMAGES, IMAGE_VALID = (
    VECTORS[f"pair/{name}"] for name in ("tokens", "token_valid", "images", "image_valid")
)
PARAMS = tree("pair/param/")


def apply(params, tokens, token_valid, images, image_valid):
    inputs = tokens, token_valid, images, image_valid
    return MODULE.apply({"params": params}, *inputs, train=False)


run = quick_jit(apply)


def test_states_logits_and_gradients_match_torch():
    def loss(params, tokens, images):
        features = apply(params["fusion"], tokens, TOKEN_VALID, images, IMAGE_VALID)
        logits = PairHead().apply({"params": params["head"]}, features.global_features)
        states = features.local_features["tokens"]
        log_probs = jax.nn.log_softmax(logits)[jnp.arange(3), VECTORS["pair/labels"]]
        value = jnp.sum(states * VECTORS["pair/weight"]) / 10 - jnp.mean(log_probs)
        return value, (states, logits)

    both = quick_jit(jax.value_and_grad(loss, (0, 1, 2), has_aux=True))
    (value, (states, logits)), gradients = both(PARAMS, TOKENS, IMAGES)
    np.testing.assert_allclose(value, VECTORS["pair/loss"], rtol=1e-5)
    np.testing.assert_allclose(states[TOKEN_VALID], VECTORS["pair/states"][TOKEN_VALID], atol=1e-5)
    np.testing.assert_allclose(logits, VECTORS["pair/logits"], atol=1e-5)
    inputs = VECTORS["pair/grad_tokens"], VECTORS["pair/grad_images"]
    assert_trees_close(gradients, (tree("pair/grad/"), *inputs))


def test_the_sides_are_told_apart_and_masks_hold():
    plain = run(PARAMS["fusion"], TOKENS, TOKEN_VALID, IMAGES, IMAGE_VALID).global_features
    swapped = run(
        PARAMS["fusion"], TOKENS, TOKEN_VALID, IMAGES[:, ::-1], IMAGE_VALID[:, ::-1]
    ).global_features
    assert np.abs(swapped - plain).max() > 0.1
    hidden = np.where(IMAGE_VALID[..., None], IMAGES, 9.0).astype(np.float32)
    words = np.where(TOKEN_VALID[..., None], TOKENS, 9.0).astype(np.float32)
    again = run(PARAMS["fusion"], words, TOKEN_VALID, hidden, IMAGE_VALID).global_features
    np.testing.assert_allclose(again, plain, atol=1e-5)


def test_it_starts_as_each_fusion_layer_twice():
    fusion = BertFusion(depth=2, num_heads=3, mlp_width=20)
    args = TOKENS, TOKEN_VALID, IMAGES[:, 0], IMAGE_VALID[:, 0]
    params = drawn(fusion, *args, train=False)
    pair = pair_fusion_params(params)
    inputs = TOKENS, TOKEN_VALID, IMAGES, IMAGE_VALID
    assert jax.tree.map(np.shape, pair) == jax.tree.map(
        np.shape, zeros(MODULE, *inputs, train=False)
    )
    # On one image twice it is the fusion with each of its layers applied twice.
    twice = jax.tree.map(lambda leaf: np.repeat(leaf, 2, axis=0), params)
    longer = fusion.clone(depth=4)
    wanted = quick_jit(lambda: longer.apply({"params": twice}, *args, train=False))()
    same = (np.repeat(each[:, :1], 2, axis=1) for each in (IMAGES, IMAGE_VALID))
    got = run(pair, TOKENS, TOKEN_VALID, *same)
    np.testing.assert_allclose(got.global_features, wanted.global_features, atol=1e-5)


def test_the_base_size_has_its_parameters():
    tokens, images = np.zeros((1, 2, 768)), np.zeros((1, 2, 3, 768))
    valid, image_valid = np.ones((1, 2), bool), np.ones((1, 2, 3), bool)
    module = PairFusion()
    shapes = jax.eval_shape(
        lambda key: module.init(key, tokens, valid, images, image_valid, train=False),
        jax.random.key(0),
    )
    count = sum(leaf.size for leaf in jax.tree.leaves(shapes))
    # Twelve layers with cross-attention (7,087,872 + 2,363,904), six keys and values saved.
    assert count == 12 * (7_087_872 + 2_363_904) - 6 * 2 * (768 * 768 + 768) == 106_334_208
    head = jax.eval_shape(lambda key: PairHead().init(key, tokens[:, 0]), jax.random.key(0))
    assert sum(leaf.size for leaf in jax.tree.leaves(head)) == 592_130


def test_dropout_is_seeded_and_bf16_is_close():
    inputs = TOKENS, TOKEN_VALID, IMAGES, IMAGE_VALID
    params = {"params": PARAMS["fusion"]}
    dropping = MODULE.clone(dropout=0.3)

    @quick_jit
    def train(key):
        return dropping.apply(params, *inputs, train=True, rngs={"dropout": key}).global_features

    np.testing.assert_array_equal(train(jax.random.key(0)), train(jax.random.key(0)))
    assert np.abs(train(jax.random.key(0)) - train(jax.random.key(1))).max() > 0.1
    plain = run(PARAMS["fusion"], *inputs).global_features
    half = MODULE.clone(dtype=jnp.bfloat16)
    rounded = quick_jit(lambda: half.apply(params, *inputs, train=False).global_features)()
    assert rounded.dtype == jnp.float32
    assert 1e-4 < np.linalg.norm(rounded - plain) / np.linalg.norm(plain) < 0.05


@pytest.mark.parametrize(
    ("changes", "shape", "message"),
    [
        ({}, (3, 3, 4, 12), "wanted [B, T, D], [B, T], [B, 2, K, D_image] and [B, 2, K]. Give two"),
        ({}, (2, 2, 4, 12), "have shapes [(3, 5, 12), (3, 5), (2, 2, 4, 12), (2, 2, 4)]"),
        (
            {"num_heads": 5},
            (3, 2, 4, 12),
            "PairFusion: width is 12; wanted a multiple of num_heads",
        ),
    ],
)
def test_errors_say_what_was_wanted(changes, shape, message):
    images = np.zeros(shape), np.ones(shape[:3], bool)
    with pytest.raises(ValueError, match=re.escape(message)):
        zeros(MODULE.clone(**changes), TOKENS, TOKEN_VALID, *images, train=False)
