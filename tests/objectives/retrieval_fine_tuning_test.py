"""Fine-tuning for retrieval is SRCL without teacher and words: contrast and matching together."""

from functools import partial

import jax
import numpy as np
import pytest

from tests.reference import numpy_srcl
from tests.reference.linear_pairs import VOCABULARY, cosines, inputs, make_apply
from tests.reference.losses import quick_jit
from tvdim_jax.objectives import make_srcl_objective

KEY = jax.random.key(5)
IMAGE_ID = np.array([0, 0, 1, 2, 1, 3], np.int32)  # captions of one image, each a row


def refuse(*arguments):
    raise AssertionError("neither teacher nor words have a say in fine-tuning")


def run(changes):
    objective = make_srcl_objective(
        vocab_size=VOCABULARY, mask_id=1, word_weight=0.0, norm="softmax", delta=5.0
    )
    params, _, batch = inputs()
    apply = make_apply(teacher=refuse, words=refuse)
    loss_of = jax.value_and_grad(partial(objective, apply=apply, key=KEY, step=0), has_aux=True)
    return quick_jit(loss_of)(params, {}, batch | changes)


@pytest.mark.parametrize("image_id", [np.arange(6, dtype=np.int32), IMAGE_ID])
def test_the_loss_is_regulated_contrast_by_the_model_itself_plus_matching(image_id):
    (loss, (metrics, variables)), gradient = run({"image_id": image_id})
    student, _ = cosines(*inputs())
    ids = np.stack([image_id, inputs()[2]["text_id"]], axis=1)
    contrast = numpy_srcl.similarity_regulated_loss(
        student, temperature=0.3, norm="softmax", delta=5.0, x_group_id=ids, y_group_id=ids
    )
    np.testing.assert_allclose(metrics["train/contrast_loss"], contrast, rtol=1e-5)
    total = metrics["train/contrast_loss"] + metrics["train/matching_loss"]
    np.testing.assert_allclose(loss, total, rtol=1e-6)
    assert "train/word_loss" not in metrics
    assert variables == {}
    moved = {name for name, leaf in gradient.items() if np.any(leaf)}
    assert {"pixels", "tokens", "fusion", "matching", "image_projection", "temperature"} <= moved


def test_captions_of_one_image_spare_each_other():
    (plain, (before, _)), _ = run({})
    (spared, (after, _)), _ = run({"image_id": IMAGE_ID})
    assert float(after["train/contrast_loss"]) != float(before["train/contrast_loss"])
    assert np.isfinite([float(plain), float(spared)]).all()
    one_image = {"image_id": np.zeros(6, np.int32)}
    (loss, (metrics, _)), _ = run(one_image)
    assert float(metrics["train/contrast_loss"]) == 0
    assert float(loss) == float(metrics["train/matching_loss"]) > 0
