"""The view of captioned photographs: where its pixels come from, and their colours."""

import jax
import jax.numpy as jnp
import numpy as np
import PIL.Image
import pytest
from sklearn.datasets import load_sample_images

from tvdim_jax.augment.captions import make_captions_view

MEAN = np.array([0.48145466, 0.4578275, 0.40821073])
STD = np.array([0.26862954, 0.26130258, 0.27577711])
TRAIN = jax.jit(make_captions_view(24, train=True))


def pixels(view):
    return np.asarray(view) * STD + MEAN


def photograph(size):
    return np.asarray(load_sample_images().images[0][30 : 30 + size, 60 : 60 + size])


def test_evaluation_sees_the_whole_square_as_pil_resizes_it():
    image = photograph(96)
    wanted = PIL.Image.fromarray(image).resize((40, 40), PIL.Image.Resampling.BICUBIC)
    view = make_captions_view(40, train=False)
    got = pixels(view(jax.random.key(0), jnp.asarray(image[None])))[0]
    np.testing.assert_allclose(got, np.asarray(wanted) / 255, atol=1.5 / 255)
    other = view(jax.random.key(1), jnp.asarray(image[None]))
    np.testing.assert_allclose(pixels(other)[0], got, atol=1e-6)


def ramps(count):
    """Red tells the column, green the row, blue is one colour."""
    row, column = np.mgrid[:60, :60]
    image = np.stack([2 * column + 60, 2 * row + 60, np.full((60, 60), 77)], -1)
    return jnp.asarray(np.tile(image.astype(np.uint8), (count, 1, 1, 1)))


def test_training_crops_and_flips_and_keeps_the_colours():
    views = pixels(TRAIN(jax.random.key(3), ramps(400))) * 255
    np.testing.assert_allclose(views[..., 2], 77, atol=0.01)
    inner = views[:, 4:-4, 4:-4]  # away from the border, where bicubic is linear on a ramp
    width = np.abs(inner[:, :, -1, 0] - inner[:, :, 0, 0]).mean(1) / 2 * 24 / 15
    height = (inner[:, -1, :, 1] - inner[:, 0, :, 1]).mean(1) / 2 * 24 / 15
    area, aspect = width * height / 60**2, width / height
    assert 0.19 < area.min() < 0.25
    assert 0.9 < area.max() < 1.05
    assert 0.52 < area.mean() < 0.62  # the mean of U(0.2, 1) is 0.6; wide crops may not fit
    assert 0.72 < aspect.min() < 0.8
    assert 1.25 < aspect.max() < 1.39
    flipped = inner[:, 0, -1, 0] < inner[:, 0, 0, 0]
    assert 0.4 < flipped.mean() < 0.6


def test_crops_may_be_large_and_nothing_flipped():
    view = jax.jit(make_captions_view(24, train=True, crop_area=(0.5, 1.0), flip_probability=0.0))
    inner = pixels(view(jax.random.key(3), ramps(400)))[:, 4:-4, 4:-4] * 255
    width = (inner[:, :, -1, 0] - inner[:, :, 0, 0]).mean(1) / 2 * 24 / 15
    height = (inner[:, -1, :, 1] - inner[:, 0, :, 1]).mean(1) / 2 * 24 / 15
    assert width.min() > 0  # of a flipped one it would be negative
    assert 0.48 < (width * height / 60**2).min() < 0.55


def test_a_row_has_its_own_draws_whatever_the_batch():
    few, many = (TRAIN(jax.random.key(3), ramps(count)) for count in (3, 400))
    assert np.abs(np.asarray(few[0] - few[1])).max() > 0.1
    np.testing.assert_allclose(few, many[:3], atol=1e-6)


@pytest.mark.parametrize(
    "images", [np.zeros((2, 20, 20, 3), np.uint8), np.zeros((2, 30, 30, 3), np.float32)]
)
def test_other_images_are_an_error(images):
    with pytest.raises(ValueError, match=r"wanted uint8 \[B, S, S, 3\] with S >= 24"):
        TRAIN(jax.random.key(0), images)
