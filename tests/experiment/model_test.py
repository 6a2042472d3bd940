"""The trees of a model, and which of their branches a forward pass moves."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.reference.tiny_run import tiny_config
from tvdim_jax.experiment.model import make_model
from tvdim_jax.train.digest import leaf_digests

VOCAB_SIZE = 30


@pytest.fixture(scope="module")
def model():
    return make_model(tiny_config(), VOCAB_SIZE)


@pytest.fixture(scope="module")
def trees(model):
    return model.init(jax.random.key(3))


@pytest.fixture(scope="module")
def inputs():
    rng = np.random.default_rng(0)
    images = jnp.asarray(rng.normal(size=(4, 32, 32, 3)), jnp.float32)
    ids = jnp.asarray(rng.integers(1, VOCAB_SIZE, (4, 24)), jnp.int32)
    return images, ids, ids > 0


@pytest.fixture(scope="module")
def passes(model, trees, inputs):
    """(features, variables after it) of four forward passes, one after the other."""
    images, ids, valid = inputs

    @jax.jit
    def run(params, variables, key):
        image = model.image(params, variables, images, train=True, key=key)
        text = model.text(params, image[1], ids, valid, train=True, key=key)
        still_image = model.image(params, text[1], images, train=False, key=None)
        still_text = model.text(params, still_image[1], ids, valid, train=False, key=None)
        return {
            "image": (image[0].global_features, image[1]),
            "text": (text[0].global_features, text[1]),
            "still_image": (still_image[0].global_features, still_image[1]),
            "still_text": (still_text[0].global_features, still_text[1]),
        }

    return [run(*trees, jax.random.key(seed)) for seed in (1, 2)]


def moved(before, after):
    """First names of the branches of the statistics in which any number changed."""
    old, new = leaf_digests(before["batch_stats"]), leaf_digests(after["batch_stats"])
    assert old.keys() == new.keys()
    return {path.split("/")[0] for path in old if old[path] != new[path]}


def test_trees_with_text(trees):
    params, variables = trees
    assert set(params) == {"image", "text", "text_head"}
    assert set(variables) == {"batch_stats"}
    assert set(variables["batch_stats"]) == {"image", "text_head"}
    assert params["text"]["tokens"]["embedding"].shape == (VOCAB_SIZE, 32)


def test_trees_without_text_are_the_image_branch_bit_for_bit(trees):
    alone = make_model(tiny_config(objective__text_weight=0.0), 0)
    assert alone.text is None
    params, variables = alone.init(jax.random.key(3))
    assert set(params) == set(variables["batch_stats"]) == {"image"}
    assert leaf_digests(params) == leaf_digests({"image": trees[0]["image"]})


def test_initial_values_are_those_of_the_key(model, trees):
    again, other = model.init(jax.random.key(3)), model.init(jax.random.key(4))
    assert leaf_digests(again) == leaf_digests(trees)
    assert leaf_digests(other) != leaf_digests(trees)


def test_text_features_have_the_width_of_the_images(passes):
    first = passes[0]
    assert first["text"][0].shape == first["image"][0].shape == (4, 32)
    assert first["text"][0].dtype == jnp.float32


def test_training_moves_the_statistics_of_its_branch_only(passes, trees):
    first = passes[0]
    assert moved(trees[1], first["image"][1]) == {"image"}
    assert moved(first["image"][1], first["text"][1]) == {"text_head"}


def test_evaluation_moves_none(passes):
    first = passes[0]
    assert moved(first["text"][1], first["still_image"][1]) == set()
    assert moved(first["still_image"][1], first["still_text"][1]) == set()


def test_dropout_draws_from_the_key_and_the_image_draws_nothing(passes):
    one, two = passes
    np.testing.assert_array_equal(one["image"][0], two["image"][0])
    assert np.abs(one["text"][0] - two["text"][0]).max() > 1e-3


def test_without_dropout_texts_are_the_same_whatever_the_key(inputs):
    _, ids, valid = inputs
    model = make_model(tiny_config(model__dropout=0.0), VOCAB_SIZE)
    params, variables = model.init(jax.random.key(3))
    tokens = [
        model.text(params, variables, ids, valid, train=train, key=jax.random.key(seed))[0]
        .local_features["tokens"]
        for train, seed in ((True, 1), (True, 2), (False, 1))
    ]  # fmt: skip
    np.testing.assert_array_equal(tokens[0], tokens[1])
    np.testing.assert_array_equal(tokens[0], tokens[2])


def test_maps_and_tokens_come_with_the_global_features(model, trees, inputs):
    images, ids, valid = inputs
    image = jax.eval_shape(lambda t: model.image(*t, images, train=False, key=None)[0], trees)
    assert {height: each.shape for height, each in image.local_features.items()} == {
        5: (4, 5, 5, 32),
        7: (4, 7, 7, 32),
    }
    text = jax.eval_shape(lambda t: model.text(*t, ids, valid, train=False, key=None)[0], trees)
    assert text.local_features["tokens"].shape == (4, 24, 32)


def test_compute_in_bfloat16_keeps_parameters_in_float32():
    model = make_model(tiny_config(model__dtype="bfloat16"), VOCAB_SIZE)
    trees = jax.eval_shape(model.init, jax.random.key(0))
    assert {leaf.dtype for leaf in jax.tree.leaves(trees)} == {jnp.dtype("float32")}
