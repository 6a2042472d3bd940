"""Encoders in evaluation mode."""

import jax.numpy as jnp
import numpy as np

from tests.reference.label_table import TOKENIZER
from tests.reference.tiny_run import SRCL, tiny_config
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


def test_projections_and_the_fusion_of_srcl():
    """Toy nets: the match of a pair is the sum over its image tokens and its text's states."""
    rng = np.random.default_rng(0)
    maps = rng.normal(size=(16, 2, 2, 3)).astype(np.float32)

    def image(params, variables, images, *, train, key):
        return Features(images.mean((1, 2)), {2: maps}), variables

    def text(params, variables, ids, valid, *, train, key):
        states = ids[..., None] * params
        return Features(states[:, 0], {"tokens": states}), variables

    def fusion(params, tokens, valid, images, *, train, key):
        assert not train
        sums = (tokens[..., 0] * valid).sum(1) + images.sum((1, 2))
        return Features(sums[:, None], {})

    model = Model(
        None,
        image,
        text,
        project_image=lambda params, x: 5 * params * x[:, :2],
        project_text=lambda params, x: 7 * params * x,
        fusion=fusion,
        matching=lambda params, x: jnp.concatenate([-x, params * x], axis=1),
    )
    encoders = make_encoders(tiny_config(**SRCL), model, 2.0, {})
    found = encoders.image({"image": np.zeros((16, 32, 32, 3), np.uint8)})
    np.testing.assert_allclose(found["embedding"], 10 * np.asarray(found["global"])[:, :2])
    assert found["image_tokens"].shape == (16, 5, 3)
    np.testing.assert_array_equal(found["image_tokens"][:, 1:], maps.reshape(16, 4, 3))
    ids = np.arange(32, dtype=np.int32).reshape(16, 2)
    batch = {"token_ids": ids, "token_valid": ids % 2 == 0}
    np.testing.assert_allclose(encoders.text(batch), 28.0 * ids[:, :1])
    tokens = np.asarray(encoders.fused.tokens(batch))
    np.testing.assert_allclose(tokens[..., 0], 2.0 * ids)
    images = np.asarray(found["image_tokens"])[:4]
    got = encoders.fused.match(tokens[:4], batch["token_valid"][:4], images)
    np.testing.assert_allclose(got, 2 * (2.0 * ids[:4, 0] + images.sum((1, 2))), rtol=1e-5)
