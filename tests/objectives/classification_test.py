from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tvdim_jax.features import Features
from tvdim_jax.losses import classification as losses
from tvdim_jax.objectives.classification import make_classification_objective

KEY = jax.random.key(0)


class Apply(NamedTuple):
    """A linear encoder that counts its calls in training, and a linear classifier."""

    @staticmethod
    def image(params, variables, images, *, train, key):
        assert key is KEY
        flat = images.reshape(len(images), -1)
        return Features(flat @ params["image"], {}), {"calls": variables["calls"] + train}

    @staticmethod
    def classifier(params, features):
        return features @ params["classifier"]


def inputs():
    rng = np.random.default_rng(0)
    params = {"image": rng.normal(size=(12, 5)), "classifier": rng.normal(size=(5, 3))}
    batch = {
        "view": rng.normal(size=(6, 2, 2, 3)),
        "where": np.array([True, True, False, True, True, True]),
        "labels": rng.integers(0, 3, 6),
    }
    logits = batch["view"].reshape(6, -1) @ params["image"] @ params["classifier"]
    return params, batch, logits


def run(batch, params, **options):
    objective = make_classification_objective(**options)
    variables = {"calls": 0}
    return objective(params, variables, batch, apply=Apply(), key=KEY, step=jnp.int32(0))


def test_one_label():
    params, batch, logits = inputs()
    loss, (metrics, _) = run(batch, params)
    rows = batch["where"]
    wanted = losses.softmax_cross_entropy_loss(logits[rows], batch["labels"][rows])
    np.testing.assert_allclose(loss, wanted, rtol=1e-5)
    right = logits[rows].argmax(axis=1) == batch["labels"][rows]
    np.testing.assert_allclose(metrics["train/accuracy"], right.mean(), rtol=1e-6)


def test_several_labels_count_where_row_and_label_do():
    params, batch, logits = inputs()
    rng = np.random.default_rng(1)
    several, known = rng.random((2, 6, 3)) < 0.5
    loss, (metrics, _) = run({**batch, "labels": several, "label_where": known}, params)
    where = known & batch["where"][:, None]
    wanted = losses.sigmoid_cross_entropy_loss(logits[where], several[where])
    np.testing.assert_allclose(loss, wanted, rtol=1e-5)
    right = (logits > 0) == several
    np.testing.assert_allclose(metrics["train/accuracy"], right[where].mean(), rtol=1e-6)


@pytest.mark.parametrize("batch_statistics", [True, False])
def test_statistics_move_only_when_asked(batch_statistics):
    params, batch, _ = inputs()
    _, (_, variables) = run(batch, params, batch_statistics=batch_statistics)
    assert variables == {"calls": int(batch_statistics)}
