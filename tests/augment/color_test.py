import colorsys
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import PIL.Image
import PIL.ImageEnhance
import pytest
from sklearn.datasets import load_sample_images

from tvdim_jax.augment.color import (
    BRIGHTNESS,
    CONTRAST,
    HUE,
    NUM_JITTER_UNIFORMS,
    SATURATION,
    color_jitter,
    grayscale,
    planes,
    random_jitter,
    shift_hue,
)

PHOTOGRAPHS = [image[100:164, 200:264] for image in load_sample_images().images]
ENHANCE = {
    BRIGHTNESS: PIL.ImageEnhance.Brightness,
    CONTRAST: PIL.ImageEnhance.Contrast,
    SATURATION: PIL.ImageEnhance.Color,
}


def floats(image):
    return planes(jnp.asarray(image / 255.0, jnp.float32))


def levels(image):
    return 255 * np.stack(image, -1)


def first(operation):
    return jnp.array([operation, *({0, 1, 2, 3} - {operation})])


def test_grayscale_matches_pil():
    for image in PHOTOGRAPHS:
        wanted = np.asarray(PIL.Image.fromarray(image).convert("L"))
        assert np.abs(255 * grayscale(floats(image)) - wanted).max() <= 0.51  # PIL rounds


@pytest.mark.parametrize("factor", [0.6, 0.87, 1.4])
@pytest.mark.parametrize("operation", ENHANCE)
def test_each_factor_matches_pil(operation, factor):
    strengths = jnp.array([1.0, 1.0, 1.0, 0.0]).at[operation].set(factor)
    for image in PHOTOGRAPHS:
        wanted = np.asarray(ENHANCE[operation](PIL.Image.fromarray(image)).enhance(factor))
        got = levels(color_jitter(floats(image), strengths, first(operation)))
        # PIL truncates the result and rounds the gray value (or its mean) that it blends with.
        assert np.abs(got - wanted).max() <= 1.5


@pytest.mark.parametrize("shift", [-0.2, -0.03, 0.1, 0.5])
def test_hue_matches_colorsys(shift):
    image = PHOTOGRAPHS[0][::4, ::4]
    got = levels(shift_hue(floats(image), jnp.asarray(shift)))
    for y, x in itertools.product(range(16), range(16)):
        hue, saturation, value = colorsys.rgb_to_hsv(*(image[y, x] / 255.0))
        wanted = 255 * np.array(colorsys.hsv_to_rgb((hue + shift) % 1.0, saturation, value))
        np.testing.assert_allclose(got[y, x], wanted, atol=1e-2)


@pytest.mark.parametrize("shift", [-0.2, 0.1])
def test_hue_is_close_to_pil(shift):
    strengths = jnp.array([1.0, 1.0, 1.0, shift])
    for image in PHOTOGRAPHS:
        hue, saturation, value = PIL.Image.fromarray(image).convert("HSV").split()
        turned = np.asarray(hue) + np.array(int(shift * 255)).astype(np.uint8)  # as torchvision
        hsv = (PIL.Image.fromarray(turned), saturation, value)
        wanted = np.asarray(PIL.Image.merge("HSV", hsv).convert("RGB"))
        got = levels(color_jitter(floats(image), strengths, first(HUE)))
        # PIL truncates hue to 8 bits and torchvision the turn: together up to 2 of 255 steps of
        # hue, each worth 6 / 255 of the pixel's chroma; and saturation to 8 bits.
        chroma = np.ptp(image.astype(float), axis=-1)[..., None]
        assert (np.abs(got - wanted) <= 3 + 2.5 * 6 / 255 * chroma).all()
        assert np.abs(got - wanted).mean() < 2


@pytest.mark.parametrize("order", [(2, 0, 1, 3), (1, 2, 3, 0), (0, 1, 2, 3)])
def test_operations_apply_in_the_given_order(order):
    strengths = [0.7, 1.35, 0.65, 0.0]
    for image in PHOTOGRAPHS:
        wanted = PIL.Image.fromarray(image)
        for operation in order:
            if operation != HUE:
                wanted = ENHANCE[operation](wanted).enhance(strengths[operation])
        got = levels(color_jitter(floats(image), jnp.array(strengths), jnp.array(order)))
        difference = np.abs(got - np.asarray(wanted))
        assert difference.max() <= 4  # three roundings, the later ones amplified by up to 1.35
        other = levels(color_jitter(floats(image), jnp.array(strengths), jnp.array(order[::-1])))
        assert np.abs(got - other).max() > 8


def test_images_of_a_batch_have_their_own_strengths_and_order():
    uniforms = jax.random.uniform(jax.random.key(5), (6, 2, NUM_JITTER_UNIFORMS))
    strengths, order = random_jitter(uniforms, max_hue=0.2)
    images = np.stack([PHOTOGRAPHS[i % 2] for i in range(12)]).reshape(6, 2, 64, 64, 3)
    jitter = jax.jit(color_jitter)
    batched = levels(jitter(floats(images), strengths, order))
    for i, j in itertools.product(range(6), range(2)):
        alone = levels(jitter(floats(images[i, j]), strengths[i, j], order[i, j]))
        np.testing.assert_allclose(batched[i, j], alone, atol=1e-3)


def test_identity_strengths_change_nothing():
    image = floats(PHOTOGRAPHS[1])
    got = color_jitter(image, jnp.array([1.0, 1.0, 1.0, 0.0]), jnp.arange(4))
    np.testing.assert_allclose(levels(got), levels(image), atol=1e-3)


def test_jitter_draws():
    uniforms = jax.random.uniform(jax.random.key(0), (24_000, NUM_JITTER_UNIFORMS))
    strengths, order = (np.asarray(x) for x in random_jitter(uniforms, max_hue=0.1))
    applied = (strengths != np.array([1, 1, 1, 0])).any(-1)
    assert abs(applied.mean() - 0.8) < 0.012
    drawn = strengths[applied]
    for values, center, width in zip(drawn.T, (1, 1, 1, 0), (0.4, 0.4, 0.4, 0.1), strict=True):
        assert center - width <= values.min() < center - 0.99 * width
        assert center + 0.99 * width < values.max() <= center + width
        np.testing.assert_allclose(values.var(), width**2 / 3, rtol=0.03)
    assert np.abs(np.corrcoef(drawn.T) - np.eye(4)).max() < 0.04
    orders, counts = np.unique(order, axis=0, return_counts=True)
    assert [tuple(o) for o in orders] == list(itertools.permutations(range(4)))
    assert np.abs(counts - 1000).max() < 6 * np.sqrt(1000)
