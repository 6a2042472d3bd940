"""Encoders in evaluation mode."""

import numpy as np

from tests.reference.label_table import TOKENIZER
from tests.reference.tiny_run import tiny_config
from tvdim_jax.experiment.encoders import local_map_height, make_encoders, text_batches
from tvdim_jax.experiment.model import Model
from tvdim_jax.features import Features


def test_encoders_are_split_over_devices_and_compiled_once():
    """Trained and untrained parameters, and every evaluation in training, share one program."""
    traced = []

    def image(params, variables, images, *, train, key):
        traced.append(images.shape)
        assert not train
        return Features(images.mean((1, 2)) * params, {}), variables

    config, model = tiny_config(eval__batch_size=12), Model(None, image, None)
    one, two = (make_encoders(config, model, params, {}) for params in (1.0, 2.0))
    assert one.batch_size == 16  # the next multiple of 8 devices
    assert one.text is None
    batch = {"image": np.arange(16, dtype=np.uint8).repeat(32 * 32 * 3).reshape(16, 32, 32, 3)}
    rows = one.image(batch)["global"]
    assert len(rows.sharding.device_set) == 8
    np.testing.assert_allclose(two.image(batch)["global"], 2 * np.asarray(rows), rtol=1e-6)
    levels = (np.arange(16)[:, None] - [125.3, 123.0, 113.9]) / [63.0, 62.1, 66.7]
    np.testing.assert_allclose(rows, levels, rtol=1e-4)
    assert traced == [(16, 32, 32, 3)]


def test_the_local_map_and_its_mean():
    """Of lmi the map that it trains, of others that of 7 x 7; none where the encoder has none."""
    rng = np.random.default_rng(0)
    maps = {height: rng.normal(size=(16, height, height, 5)) for height in (7, 8)}

    def model_with(maps):
        def image(params, variables, images, *, train, key):
            return Features(images.mean((1, 2)), maps), variables

        return Model(None, image, None)

    batch = {"image": np.zeros((16, 32, 32, 3), np.uint8)}
    params = {"critics": {"local": np.ones(3)}}
    for config, height in ((tiny_config(), 7), (tiny_config(objective__name="lmi"), 8)):
        assert local_map_height(config) == height
        encoders = make_encoders(config, model_with(maps), params, {})
        found = encoders.image(batch)
        np.testing.assert_allclose(found["local_map"], maps[height], rtol=1e-6)
        np.testing.assert_allclose(found["local_mean"], maps[height].mean((1, 2)), atol=1e-6)
        assert list(encoders.critics) == (["local"] if height == 8 else [])
        without = make_encoders(config, model_with({}), params, {}).image(batch)
        assert list(without) == ["global"]


def test_the_last_texts_are_filled_up():
    first, last = text_batches(TOKENIZER, ["1", "2 3", "4"], 2)
    assert first["where"].tolist() == [True, True]
    assert last["where"].tolist() == [True, False]
    assert last["image_id"].tolist() == [2, 3]
    assert last["token_ids"].shape == first["token_ids"].shape == (2, 4)
