import jax
import jax.numpy as jnp
import numpy as np
import PIL.Image
import pytest
from sklearn.datasets import load_sample_images

from tvdim_jax.augment.geometry import (
    NUM_CROP_UNIFORMS,
    NUM_SHIFT_UNIFORMS,
    random_crops,
    random_shifts,
    reflected_positions,
    resample,
    resize_weights,
)

# PIL works on 8-bit images and rounds after each of the two passes. Pillow 13 takes the vertical
# pass first where that is cheaper (older ones never do): where the first pass overshoots black or
# white and is clipped, the order matters by a few levels, in less than 1 of 1000 values.
LEVELS = 1.5
LEVELS_AT_CLIPPED = 4


def photographs(size):
    return [image[60 : 60 + size, 100 : 100 + size] for image in load_sample_images().images]


@pytest.mark.parametrize(
    ("size", "box", "out"),
    [
        (96, (0, 0, 96, 96), 64),  # shrink a whole image
        (96, (7, 20, 80, 55), 64),  # shrink one side, enlarge the other
        (300, (30, 11, 200, 250), 32),  # a strong reduction
        (40, (3, 5, 22, 31), 128),  # enlarge
        (64, (0, 0, 64, 64), 64),  # nothing to do
    ],
)
def test_crop_and_resize_match_pil(size, box, out):
    top, left, height, width = box
    rows = resize_weights(float(top), float(height), num_out=out, num_in=size)
    columns = resize_weights(float(left), float(width), num_out=out, num_in=size)
    np.testing.assert_allclose(rows.sum(-1), 1.0, rtol=1e-5)
    for image in photographs(size):
        crop = PIL.Image.fromarray(image).crop((left, top, left + width, top + height))
        wanted = np.asarray(crop.resize((out, out), PIL.Image.Resampling.BICUBIC))
        got = 255 * resample(jnp.asarray(image / 255.0, jnp.float32), rows, columns)
        error = np.abs(got - wanted)
        assert error.max() <= LEVELS_AT_CLIPPED
        assert (error > LEVELS).mean() < 1e-3
        assert error.mean() < 0.4


def test_crop_boxes_may_be_batched():
    starts, lengths = np.array([0, 5, 9], np.float32), np.array([20, 7, 11], np.float32)
    weights = resize_weights(starts, lengths, num_out=8, num_in=20)
    for got, start, length in zip(weights, starts, lengths, strict=True):
        wanted = resize_weights(start, length, num_out=8, num_in=20)
        np.testing.assert_allclose(got, wanted, atol=1e-6)


@pytest.mark.parametrize("shift", [-4, -1, 0, 3, 4])
def test_shift_matches_numpy_reflection(shift):
    image = np.arange(11)
    wanted = np.pad(image, 4, mode="reflect")[4 - shift : 4 - shift + 11]
    np.testing.assert_array_equal(image[reflected_positions(jnp.asarray(shift), 11)], wanted)


def test_shifts_are_uniform_and_applied_in_four_of_five():
    uniforms = jax.random.uniform(jax.random.key(0), (40_000, NUM_SHIFT_UNIFORMS))
    down, right = (np.asarray(shift) for shift in random_shifts(uniforms, max_shift=4))
    wanted = np.full(9, 0.8 / 9)
    wanted[4] += 0.2
    for shift in (down, right):
        share = np.bincount(shift + 4, minlength=9) / len(shift)
        np.testing.assert_allclose(share, wanted, atol=0.008)
    assert abs(((down == 0) & (right == 0)).mean() - (0.2 + 0.8 / 81)) < 0.01
    moved = (down != 0) & (right != 0)
    assert abs(np.corrcoef(down[moved], right[moved])[0, 1]) < 0.03


def test_crops_are_distributed_as_torchvisions():
    size, count = 96, 10_000
    uniforms = jax.random.uniform(jax.random.key(0), (count, NUM_CROP_UNIFORMS))
    boxes = np.stack(random_crops(uniforms, size=size), -1)
    np.testing.assert_array_equal(boxes, np.round(boxes))
    top, left, height, width = boxes.T
    assert min(top.min(), left.min()) == 0
    assert min(height.min(), width.min()) > 0
    assert max((top + height).max(), (left + width).max()) == size
    wanted = np.array([torchvision_box(np.random.default_rng(i), size) for i in range(count)])
    ours, theirs = (
        np.concatenate([b, b[:, 2:3] * b[:, 3:] / size**2, np.log(b[:, 3:] / b[:, 2:3])], axis=1)
        for b in (boxes, wanted)
    )
    error = theirs.std(0) / np.sqrt(count)
    np.testing.assert_array_less(np.abs(ours.mean(0) - theirs.mean(0)), 6 * error)
    np.testing.assert_allclose(ours.std(0), theirs.std(0), rtol=0.04)
    quantiles = np.linspace(0.05, 0.95, 10)
    np.testing.assert_allclose(
        np.quantile(ours, quantiles, axis=0) / theirs.std(0),
        np.quantile(theirs, quantiles, axis=0) / theirs.std(0),
        atol=0.11,  # one pixel; boxes are whole pixels
    )


def torchvision_box(rng, size):
    """The loop of RandomResizedCrop.get_params for a square image."""
    for _ in range(10):
        area = size * size * rng.uniform(0.3, 1.0)
        aspect = np.exp(rng.uniform(np.log(0.7), np.log(1.4)))
        width, height = round(np.sqrt(area * aspect)), round(np.sqrt(area / aspect))
        if 0 < width <= size and 0 < height <= size:
            return (
                rng.integers(size - height + 1),
                rng.integers(size - width + 1),
                height,
                width,
            )
    return 0, 0, size, size


def test_without_a_fitting_try_the_whole_image_is_taken():
    # Area 1 with aspect 1.4 never fits.
    uniforms = jnp.full((1, NUM_CROP_UNIFORMS), 1.0 - 2.0**-23)
    assert [float(side[0]) for side in random_crops(uniforms, size=50)] == [0.0, 0.0, 50.0, 50.0]
