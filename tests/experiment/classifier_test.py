import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.reference.linear_model import linear_model
from tvdim_jax.experiment.classifier import joined, make_classifier, split_frozen

PARTS = ("stem", "stem_2", "stage_1_block_1", "stage_1_block_2", "stage_10_block_1")
ENCODER = dict(zip(PARTS, range(5), strict=True))


def test_frozen_names_take_whole_stages_and_no_others():
    still, moving = split_frozen(ENCODER, ("stem", "stage_1"))
    assert still == {"stem": 0, "stem_2": 1, "stage_1_block_1": 2, "stage_1_block_2": 3}
    assert moving == {"stage_10_block_1": 4}
    assert split_frozen(ENCODER, ()) == ({}, ENCODER)


def test_a_frozen_part_that_is_not_there():
    with pytest.raises(ValueError, match=r"frozen parts \['block'\], wanted some of \['stage_10"):
        split_frozen(ENCODER, ("stem", "block"))


def test_a_classifier_is_the_encoder_and_a_linear_head():
    model = linear_model()
    params, variables = model.init(None)
    apply, trained, rest = make_classifier(
        model, params, variables, num_classes=4, frozen=("stem",), image_shape=(8, 8, 3),
        key=jax.random.key(0),
    )  # fmt: skip
    assert set(trained) == {"image", "classifier"}
    assert set(trained["image"]) == {"stage_1_block_1"}
    assert joined(trained, rest) == params["image"]
    assert set(rest) == {"batch_stats", "frozen"}
    images = jnp.float32(np.random.default_rng(0).normal(size=(5, 8, 8, 3)))
    features, _ = apply.image(trained, rest, images, train=False, key=None)
    wanted, _ = model.image(params, variables, images, train=False, key=None)
    np.testing.assert_array_equal(features.global_features, wanted.global_features)
    dense = jax.tree.map(np.asarray, trained["classifier"]["dense"])
    logits = apply.classifier(trained, wanted.global_features)
    assert logits.shape == (5, 4)
    np.testing.assert_allclose(
        logits, wanted.global_features @ dense["kernel"] + dense["bias"][None], rtol=1e-5
    )
