import math
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import PIL.Image
import pytest
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from tvdim_jax.augment.xray import affine, center_crop, divide_by_max, make_xray_view
from tvdim_jax.data.squares import grey_square, stored_side

# Pixels that the LMI release computed (torchvision on PIL images), from random 16-bit input.
with np.load(Path(__file__).parents[1] / "data/lmi_xray.npz", allow_pickle=False) as file:
    RELEASE = dict(file)
RAW = RELEASE["raw_u16"][None, ..., None]
TURN = jax.jit(affine)
VIEW = jax.jit(make_xray_view(32, train=True))


def images(count: int, size: int = 42, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(1, 65536, (count, size, size, 1), np.uint16)


def test_the_raw_vectors_need_16_bits():
    assert RELEASE["raw_u16"].max() > 2**15


@pytest.mark.parametrize("case", range(4))
def test_affine_has_the_pixels_of_the_release(case):
    angle, tx, ty = RELEASE[f"affine{case}_angle_tx_ty"]
    out = TURN(RAW, np.float32([angle]), np.int32([[tx, ty]]))
    assert out.dtype == jnp.uint16
    assert np.array_equal(out[0, ..., 0], RELEASE[f"affine{case}_out_u16"])


@pytest.mark.parametrize(("size", "name"), [(24, "center_crop_24"), (32, "center_crop_32_padded")])
def test_crop_and_division_have_the_values_of_the_release(size, name):
    out = divide_by_max(center_crop(jnp.asarray(RAW), size))
    assert out.dtype == jnp.float32
    # XLA may multiply by the reciprocal: the pixels are exact, their quotient to the last bit.
    np.testing.assert_array_max_ulp(np.asarray(out[0, ..., 0]), RELEASE[name], maxulp=1)
    divisor = center_crop(jnp.asarray(RAW), size).max()
    assert np.array_equal(np.rint(out[0, ..., 0] * divisor), np.rint(RELEASE[name] * divisor))


def test_a_black_image_stays_black():
    black = np.zeros((1, 8, 8, 1), np.uint16)
    out = make_xray_view(8, train=False)(jax.random.key(0), jnp.asarray(black))
    assert np.array_equal(out[0, ..., 0], RELEASE["all_zero_image_out"])


def turned(image: np.ndarray, degrees: float, tx: int, ty: int) -> np.ndarray:
    """Pixel by pixel, in double precision."""
    height, width = image.shape
    out = np.zeros_like(image)
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    for y in range(height):
        for x in range(width):
            right, down = x + 0.5 - width / 2 - tx, y + 0.5 - height / 2 - ty
            column = math.floor(cos * right + sin * down + width / 2)
            row = math.floor(-sin * right + cos * down + height / 2)
            if 0 <= column < width and 0 <= row < height:
                out[y, x] = image[row, column]
    return out


def test_affine_of_a_batch_is_the_loop_over_pixels():
    batch = np.random.default_rng(2).integers(0, 65536, (5, 23, 31, 1), np.uint16)
    degrees = np.array([-17.3, 3.0, 19.9, 0.0, 90.0], np.float32)
    shifts = np.array([[3, -2], [0, 4], [-1, 1], [40, 0], [0, 0]])
    out = TURN(batch, degrees, shifts)
    for image, got, angle, shift in zip(batch, out, degrees, shifts, strict=True):
        wanted = turned(image[..., 0], float(angle), *shift)
        assert (np.asarray(got[..., 0]) != wanted).mean() < (0.1 if angle == 90 else 0.002)


def test_a_large_turned_image_is_what_pillow_makes():
    image = images(1, 336)
    degrees = -13.7
    wanted = PIL.Image.fromarray(image[0, ..., 0]).rotate(-degrees, PIL.Image.Resampling.NEAREST)
    out = TURN(image, np.float32([degrees]), np.int32([[0, 0]]))
    assert (np.asarray(out[0, ..., 0]) != np.asarray(wanted)).mean() < 0.002


@pytest.mark.parametrize("size", [(256, 272), (256, 329), (307, 256), (256, 256), (256, 336)])
def test_the_evaluation_view_of_a_stored_image_is_the_crop_of_the_image(size):
    image = np.random.default_rng(0).integers(0, 60_000, (1, *size, 1), np.uint16)
    stored = grey_square(image[0], 256)[None]
    wanted = divide_by_max(center_crop(jnp.asarray(image), 256))
    assert np.array_equal(
        make_xray_view(256, train=False)(jax.random.key(0), jnp.asarray(stored)), wanted
    )


@pytest.mark.parametrize("size", [(40, 32), (32, 38)])
def test_storing_before_turning_changes_nothing(size):
    image = np.random.default_rng(0).integers(0, 65536, (1, *size, 1), np.uint16)
    degrees, shifts = jnp.float32([15.5]), jnp.int32([[-2, 3]])
    stored = jnp.asarray(grey_square(image[0], 32)[None])
    turn = jax.jit(lambda images: center_crop(affine(images, degrees, shifts), 32))
    assert np.array_equal(turn(stored), turn(jnp.asarray(image)))


def test_views_have_the_contract_shape_and_range():
    out = VIEW(jax.random.key(0), images(6, stored_side(32)))
    assert out.shape == (6, 32, 32, 1)
    assert out.dtype == jnp.float32
    np.testing.assert_array_max_ulp(np.asarray(out.max((1, 2, 3))), np.ones(6, np.float32))
    assert out.min() >= 0


def test_draws_stay_in_their_ranges_and_fill_them():
    size = 64
    spots = np.zeros((400, size, size, 1), np.uint16)
    spots[:, 32:34, 32:34] = 1  # next to the turning point: moves with the shift alone
    out = np.asarray(jax.jit(make_xray_view(40, train=True))(jax.random.key(3), spots))
    where = [np.argwhere(view[..., 0] > 0).mean(0) - 20.5 for view in out]
    shifts = np.array(where)
    assert np.abs(shifts).max() <= 4 + 1
    assert (np.round(shifts).min(0) <= -4).all()
    assert (np.round(shifts).max(0) >= 4).all()
    rows = np.zeros((400, size, size, 1), np.uint16)
    rows[:, 31:33] = 1  # a horizontal bar: its slope is the angle
    out = np.asarray(jax.jit(make_xray_view(40, train=True))(jax.random.key(3), rows))
    slopes = [np.polyfit(*np.argwhere(view[..., 0] > 0).T[::-1], 1)[0] for view in out]
    angles = np.rad2deg(np.arctan(slopes))
    assert np.abs(angles).max() < 21
    assert angles.min() < -18
    assert angles.max() > 18
    assert np.abs(angles.mean()) < 2


def test_the_key_fixes_the_view_and_each_image_has_its_own():
    batch = np.repeat(images(1), 4, axis=0)
    first, same, other = (VIEW(jax.random.key(seed), batch) for seed in (0, 0, 1))
    assert np.array_equal(first, same)
    assert not np.array_equal(first, other)
    assert len({np.asarray(view).tobytes() for view in first}) == 4


def test_views_do_not_depend_on_the_devices():
    batch, key = images(8), jax.random.key(5)
    mesh = jax.make_mesh((8,), ("data",), axis_types=(AxisType.Auto,))
    spread = jax.device_put(batch, NamedSharding(mesh, PartitionSpec("data")))
    assert np.array_equal(VIEW(key, spread), VIEW(key, batch))


@pytest.mark.parametrize(
    ("dtype", "shape"),
    [
        (np.uint8, (2, 40, 40, 1)),
        (np.uint16, (2, 40, 40, 3)),
        (np.uint16, (2, 40, 42, 1)),
        (np.uint16, (2, 31, 31, 1)),
        (np.uint16, (40, 40, 1)),
    ],
)
def test_other_images_are_refused(dtype, shape):
    with pytest.raises(ValueError, match=r"wanted uint16 \[B, S, S, 1\] with S >= 32. Store"):
        make_xray_view(32, train=True)(jax.random.key(0), jnp.zeros(shape, dtype))
