"""The panel as a task: planted pairs, their ceiling, and runs without text."""

import json

import numpy as np
import pytest

from tests.reference.label_table import ENCODERS, TOKENIZER, Table, numbers
from tests.reference.tiny_run import tiny_config
from tvdim_jax.evals import mi_estimate, representation
from tvdim_jax.experiment.data import Splits
from tvdim_jax.experiment.tasks import Context, Images, mi
from tvdim_jax.experiment.tasks.mi import MI


def wheel(levels):
    angle = np.asarray(levels) * (2 * np.pi / 40)
    return np.stack([np.cos(angle), np.sin(angle), np.ones_like(angle)], -1).astype(np.float32)


def run(levels, num_train=40, captions=None, **changes):
    """Images of these levels with the captions 0, 1, ..., scored after training on others."""
    size = len(levels)
    sources = [Table(n, captions=numbers(n) if captions is None else captions) for n in (40, size)]
    train = Images(np.arange(num_train), {"global": wheel(np.arange(num_train))})
    test = Images(np.arange(size), {"global": wheel(levels)})
    config = tiny_config(**changes)
    return MI.run(Context(config, Splits(*sources), train, test, ENCODERS, TOKENIZER)).result


def test_pairs_that_tell_all_and_pairs_that_tell_nothing():
    sure = run(np.arange(24), objective__temperature=0.001)
    blind = run(np.zeros(24), objective__temperature=0.07)
    assert sure["metrics"]["log_n_nats"] == pytest.approx(np.log(24))
    assert sure["metrics"]["info_nce_nats"] > 0.98 * np.log(24)
    assert (sure["metrics"]["saturated"], blind["metrics"]["saturated"]) == (1, 0)
    assert "InfoNCE is saturated: the pairs share at least its ceiling" in sure["note"]
    assert sure["note"].endswith("up to 512 pairs raise it: --config.eval.num_test_examples")
    assert "saturated" not in blind["note"]
    assert blind["metrics"]["info_nce_nats"] < 1e-5
    assert sure["metrics"]["smile_of_jsd_critic_nats"] > 0.3
    assert sure["jsd_critic"]["num_train"] == 40
    assert sure["metrics"]["alignment"] == pytest.approx(0, abs=1e-6)
    assert blind["metrics"]["image_effective_rank"] == 0
    assert json.loads(json.dumps(sure))["critic"] == "cosine / 0.001"


def test_the_numbers_are_those_of_the_panel():
    levels = np.arange(24) + np.random.default_rng(0).normal(size=24)
    result = run(levels)
    x, y = wheel(levels), wheel(np.arange(24))
    scores = x @ y.T / 2 / 0.07  # all of length sqrt 2
    panel = mi_estimate.estimate(lambda i, j: scores[i][:, j], 24)
    for name in ("info_nce", "nwj", "donsker_varadhan", "smile"):
        own = panel.estimates[name]
        assert result["metrics"][f"{name}_nats"] == pytest.approx(own["nats"], rel=1e-4)
        assert result["panel"]["estimates"][name]["high"] == pytest.approx(own["high"], rel=1e-4)
    assert result["metrics"]["modality_gap"] == pytest.approx(representation.modality_gap(x, y))
    rows = result["numbers"]["nats, 95 % interval"]
    assert rows["InfoNCE"][1] < rows["InfoNCE"][0] < rows["InfoNCE"][2]
    assert rows["ceiling of InfoNCE, log 24"] == pytest.approx(np.log(24))


def test_more_pairs_are_not_asked_for_where_they_cannot_raise_the_ceiling(monkeypatch):
    monkeypatch.setattr(mi, "PAIRS_PER_TILE", 24)
    note = run(np.arange(24), objective__temperature=0.001)["note"]
    assert note.endswith("much more; the others have no such ceiling, see their intervals")


def test_few_training_pairs_train_no_critic():
    result = run(np.arange(24), num_train=15)
    assert "smile_of_jsd_critic_nats" not in result["metrics"]
    assert result["jsd_critic"] is None
    assert result["note"].endswith("; no JSD-trained critic on fewer than 16 training pairs")


def test_without_texts_the_shape_of_the_features_is_left():
    for result, why in (
        (run(np.arange(24), objective__name="amdim"), "no text encoder"),
        (run(np.arange(24), captions=[[]] * 40), "no pairs of an image and a text"),
    ):
        assert set(result["metrics"]) == {"image_uniformity", "image_effective_rank"}
        assert result["numbers"] == {"features": result["metrics"]}
        assert result["note"] == f"{why}: only the shape of the features of 24 images"
        rank = representation.effective_rank(wheel(np.arange(24)))
        assert result["metrics"]["image_effective_rank"] == pytest.approx(rank)
