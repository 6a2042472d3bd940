"""Which pairs are taken, and that their scores are those of the critic that was trained."""

import numpy as np
import pytest

from tests.reference.label_table import ENCODERS, TOKENIZER, Table, numbers
from tests.reference.tiny_run import CLIP, tiny_config
from tvdim_jax.critics import make_pair_critic
from tvdim_jax.experiment.data import Splits
from tvdim_jax.experiment.encoders import Weights
from tvdim_jax.experiment.tasks import Context, Images
from tvdim_jax.experiment.tasks.critics import critic_scores, encode_reports
from tvdim_jax.experiment.tasks.held_out_pairs import held_out_pairs

LMI = {"objective__name": "lmi", "model__critic_hidden": "(8,6)"}
NOTHING = Images(np.arange(0), {})


def context_of(source, images, encoders=ENCODERS, **changes):
    splits = Splits(Table(1), source)
    return Context(tiny_config(**changes), splits, NOTHING, images, encoders, TOKENIZER)


def test_each_text_once_and_each_image_with_its_first():
    captions = [["0 3", "0 4"], [], ["0 3"], ["1 0"], ["0 4"]]
    source = Table(6, captions=[["0 9"], *captions])
    features = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
    images = Images(np.arange(1, 6), {"global": features})
    pairs = held_out_pairs(context_of(source, images, objective__temperature=0.5), images, source)
    np.testing.assert_array_equal(pairs.x, features[[0, 3, 4]])
    angle = np.array([3, 10, 4]) * (2 * np.pi / 40)
    np.testing.assert_allclose(pairs.y[:, 0], np.cos(angle), atol=1e-6)
    unit_x, unit_y = (v / np.linalg.norm(v, axis=1, keepdims=True) for v in (pairs.x, pairs.y))
    found = pairs.score(np.array([2, 0]), np.array([1]))
    np.testing.assert_allclose(found, (unit_x[[2, 0]] @ unit_y[[1]].T) / 0.5, rtol=1e-5)
    assert pairs.critic == "cosine / 0.5"
    blank = Table(6)
    assert held_out_pairs(context_of(blank, images), images, blank) is None


def test_clip_has_its_embeddings_and_the_temperature_it_learned():
    source = Table(4, captions=numbers(4))
    features = {"global": np.ones((4, 5)), "embedding": np.eye(4, 3, dtype=np.float32) + 1}
    images = Images(np.arange(4), features)
    encoders = ENCODERS._replace(weights=Weights(None, {"temperature": np.float32(0.02)}, None))
    pairs = held_out_pairs(context_of(source, images, encoders, **CLIP), images, source)
    np.testing.assert_array_equal(pairs.x, features["embedding"])
    assert pairs.critic == "cosine / 0.02"


def test_letter_case_makes_no_other_text():
    """The training takes such texts for one, and so do tokenizers in lower case."""
    captions = [["A b 1"], ["a B  1"], ["a b 2"]]
    images = Images(np.arange(3), {"global": np.eye(3, dtype=np.float32)})
    source = Table(3, captions=captions)
    pairs = held_out_pairs(context_of(source, images), images, source)
    np.testing.assert_array_equal(pairs.x, np.eye(3)[[0, 2]])


def test_lmi_pairs_images_with_whole_reports():
    """Scores of 40 pairs, which take more than one tile, equal those of the critics."""
    rng = np.random.default_rng(0)
    said = [["one 1 two 2.", f"{n} {n} {n}."] for n in range(40)]
    captions = [[" ".join(own)] for own in said]
    source = Table(42, captions=[*captions, [""], [captions[7][0].upper()]])
    config = tiny_config(**LMI)
    critic = make_pair_critic("mlp", (8, 6))
    params = {
        name: critic.init(np.zeros(2, np.uint32), width, 3)
        for name, width in (("local", 5), ("global", 6))
    }
    encoders = ENCODERS._replace(critics=params)
    features = {"global": rng.normal(size=(42, 6)), "local_map": rng.normal(size=(42, 2, 2, 5))}
    images = Images(np.arange(42), features)
    context = context_of(source, images, encoders, **LMI)
    pairs = held_out_pairs(context, images, source)
    assert pairs.critic == "trained critics, their sum"
    assert len(pairs.x) == len(pairs.y) == 40  # no blank report, and none twice
    own = {kind: each[:40] for kind, each in features.items()}
    reports = encode_reports(context, said)
    scores = critic_scores(config, params, own, reports).tiles["sum"]
    every = np.arange(40)
    found = pairs.score(every, every[::-1])
    assert found.shape == (40, 40)
    np.testing.assert_allclose(found, scores(every, every[::-1]), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(pairs.y, reports.sentences.mean(axis=1), rtol=1e-5)


def test_features_of_no_text_encoder():
    source = Table(4, captions=numbers(4))
    images = Images(np.arange(4), {"global": np.ones((4, 3), np.float32)})
    with pytest.raises(ValueError, match="pairs need a text encoder; leave the task out"):
        held_out_pairs(context_of(source, images, None), images, source)
