import functools
import re

import jax
import jax.numpy as jnp
import numpy as np
import PIL.Image
import pytest
from jax.sharding import AxisType, NamedSharding, PartitionSpec
from sklearn.datasets import load_sample_images

from tvdim_jax.augment import AUGMENTATIONS, make_eval_view, make_two_views

MEAN = {
    "cifar": np.array([125.3, 123.0, 113.9]) / 255,
    "stl": np.array([0.43, 0.42, 0.39]),
    "imagenet": np.array([0.485, 0.456, 0.406]),
}
STD = {
    "cifar": np.array([63.0, 62.1, 66.7]) / 255,
    "stl": np.array([0.27, 0.26, 0.27]),
    "imagenet": np.array([0.229, 0.224, 0.225]),
}


def photographs(size, count=2):
    images = load_sample_images().images
    return np.stack(
        [
            images[i % 2][20 + i : 20 + i + size, 30 + 7 * i : 30 + 7 * i + size]
            for i in range(count)
        ]
    )


def pixels(view, name):
    return np.asarray(view) * STD[name] + MEAN[name]


@functools.cache
def jitted(name, image_size):
    return jax.jit(make_two_views(name, image_size))


def two_views(name, images, seed=0, image_size=32):
    return jitted(name, image_size)(jax.random.key(seed), images)


@pytest.mark.parametrize(
    ("name", "image_size", "size"),
    [
        ("cifar", 32, 32),
        ("cifar", 32, 45),
        ("stl", 64, 96),
        ("stl", 32, 64),
        ("imagenet", 128, 180),
    ],
)
def test_views_have_the_contract_shape_and_pixel_range(name, image_size, size):
    images = photographs(size, 4)
    views = two_views(name, images, image_size=image_size)
    for view in views:
        assert view.shape == (4, image_size, image_size, 3)
        assert view.dtype == jnp.float32
        values = pixels(view, name)
        assert values.min() >= -1e-5
        assert values.max() <= 1 + 1e-5
        assert values.std() > 0.05


def test_same_key_same_views_other_key_other_views():
    images = photographs(48, 4)
    first = two_views("stl", images)
    np.testing.assert_array_equal(first, two_views("stl", images))
    assert np.abs(first[0] - two_views("stl", images, seed=1)[0]).max() > 0.1
    half = two_views("stl", images[:2])
    np.testing.assert_allclose(half[0], first[0][:2], atol=1e-5)  # whatever the batch size


@pytest.mark.parametrize("name", ["cifar", "imagenet"])
def test_8_devices_make_the_views_of_1(name):
    images = photographs(40, 16)
    mesh = jax.make_mesh((8,), ("data",), axis_types=(AxisType.Auto,))
    sharded = jax.device_put(images, NamedSharding(mesh, PartitionSpec("data")))
    eight = two_views(name, sharded)
    assert len(eight[0].sharding.device_set) == 8
    for ours, wanted in zip(eight, two_views(name, images), strict=True):
        np.testing.assert_allclose(ours, wanted, atol=1e-5)


def side_brightness(view):
    """Mean brightness of the left less that of the right half."""
    gray = np.asarray(view).mean(-1)
    half = gray.shape[2] // 2
    return gray[:, :, :half].mean((1, 2)) - gray[:, :, half:].mean((1, 2))


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_flip_is_shared_by_both_views_and_drawn_for_half_of_the_images(name):
    ramp = np.linspace(40, 215, 36).astype(np.uint8)
    images = np.broadcast_to(ramp[:, None], (600, 36, 36, 3))  # brighter to the right
    first, second = (side_brightness(view) > 0 for view in two_views(name, images))
    np.testing.assert_array_equal(first, second)
    assert abs(first.mean() - 0.5) < 6 * 0.5 / np.sqrt(600)


def test_everything_else_is_independent_between_views():
    rng = np.random.default_rng(0)
    image = (120 + 60 * rng.standard_normal((4, 4, 3))).clip(0, 255).repeat(9, 0).repeat(9, 1)
    images = np.broadcast_to(image.astype(np.uint8), (600, 36, 36, 3))
    first, second = (pixels(view, "stl") for view in two_views("stl", images))

    def is_gray(view):
        return np.ptp(view, axis=-1).max((1, 2)) < 1e-4

    for view in (first, second):
        assert abs(is_gray(view).mean() - 0.25) < 6 * np.sqrt(0.25 * 0.75 / 600)
    both = (is_gray(first) & is_gray(second)).mean()
    assert abs(both - 0.25**2) < 6 * np.sqrt(0.06 * 0.94 / 600)
    brightness = np.corrcoef(first.mean((1, 2, 3)), second.mean((1, 2, 3)))[0, 1]
    contrast = np.corrcoef(first.std((1, 2, 3)), second.std((1, 2, 3)))[0, 1]
    assert max(abs(brightness), abs(contrast)) < 6 / np.sqrt(600)


def test_cifar_without_jitter_is_a_reflected_shift_of_the_flipped_image():
    # Views without jitter (1 in 5) and grayscale hold the exact pixels of one of 2 x 81 candidates.
    images = photographs(32, 64)
    matched = 0
    for view in two_views("cifar", images):
        for image, got in zip(images, pixels(view, "cifar"), strict=True):
            matched += (
                min(np.abs(shifted - 255 * got).max() for shifted in candidates(image)) < 0.01
            )
    assert 5 <= matched <= 40  # of 128; expected 128 * 0.2 * 0.75 = 19


def candidates(image):
    for flipped in (image, image[:, ::-1]):
        padded = np.pad(flipped, ((4, 4), (4, 4), (0, 0)), mode="reflect").astype(float)
        for y in range(9):
            for x in range(9):
                yield padded[y : y + 32, x : x + 32]


@pytest.mark.parametrize(
    ("name", "image_size", "size", "resized", "top"),
    [
        ("stl", 64, 96, 70, 3),
        ("stl", 32, 96, 35, 2),
        ("imagenet", 128, 200, 146, 9),
        ("cifar", 32, 48, 32, 0),
    ],
)
def test_eval_view_matches_pil(name, image_size, size, resized, top):
    images = photographs(size)
    got = 255 * pixels(jax.jit(make_eval_view(name, image_size))(images), name)
    for i, image in enumerate(images):
        whole = PIL.Image.fromarray(image).resize((resized, resized), PIL.Image.Resampling.BICUBIC)
        wanted = np.asarray(whole)[top : top + image_size, top : top + image_size]
        assert np.abs(got[i] - wanted).max() <= 1.5  # PIL rounds after each of two passes


def test_cifar_eval_view_at_its_own_size_is_the_image():
    images = photographs(32)
    got = pixels(make_eval_view("cifar", 32)(images), "cifar")
    np.testing.assert_allclose(255 * got, images, atol=1e-3)


def test_presets_hold_the_numbers_of_the_release():
    hue = {name: augmentation.max_hue for name, augmentation in AUGMENTATIONS.items()}
    assert hue == {"cifar": 0.2, "stl": 0.2, "imagenet": 0.1}
    for name, augmentation in AUGMENTATIONS.items():
        np.testing.assert_allclose(augmentation.mean, MEAN[name])
        np.testing.assert_allclose(augmentation.std, STD[name])


@pytest.mark.parametrize("make", [make_two_views, make_eval_view])
def test_errors_say_what_was_wanted(make):
    with pytest.raises(ValueError, match="unknown augmentation 'stl10'; wanted one of cifar, stl,"):
        make("stl10", 64)
    with pytest.raises(
        ValueError, match=re.escape("image_size is 96; wanted one of (32, 64, 128)")
    ):
        make("stl", 96)
    view = make("stl", 64)
    key = (jax.random.key(0),) if make is make_two_views else ()
    for shape, dtype in [
        ((2, 63, 63, 3), "uint8"),
        ((2, 80, 96, 3), "uint8"),
        ((2, 96, 96, 3), "f"),
    ]:
        with pytest.raises(ValueError, match=r"wanted uint8 \[B, S, S, 3\] with S >= 64"):
            view(*key, np.zeros(shape, dtype))
