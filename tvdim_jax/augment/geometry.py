"""Where the pixels of a view come from: shifts, crops and resizes as one matrix per image axis.

A view is `rows @ image @ columns^T`: two small matmuls per image and channel, batched over images.
"""

import math

import jax
import jax.numpy as jnp

_CROP_TRIES = 10
NUM_CROP_UNIFORMS = 2 * _CROP_TRIES + 2
NUM_SHIFT_UNIFORMS = 3
SHIFT_PROBABILITY = 0.8
CROP_AREA = (0.3, 1.0)
CROP_ASPECT = (0.7, 1.4)


def resize_weights(
    start: jax.Array | float, length: jax.Array | float, *, num_out: int, num_in: int
) -> jax.Array:
    """Bicubic, antialiased resize of the pixels [start, start + length) of an axis.

    The kernel is PIL's (Keys with a = -0.5, stretched by the scale when shrinking). As after a
    crop, pixels outside the range have no weight and the rest is renormalised.

    Args:
      start: first pixel of the crop, `[...]` or a number, in 0..num_in - 1.
      length: pixels of the crop, `[...]` or a number, start + length <= num_in.
      num_out: pixels of the result.
      num_in: pixels of the whole axis.

    Returns:
      float32 `[..., num_out, num_in]`; rows sum to 1.
    """
    start = jnp.asarray(start, jnp.float32)[..., None, None]
    length = jnp.asarray(length, jnp.float32)[..., None, None]
    scale = length / num_out
    lead = (1,) * (scale.ndim - 2)
    pixel = jnp.arange(num_in, dtype=jnp.float32).reshape(*lead, 1, num_in)
    center = (
        start + (jnp.arange(num_out, dtype=jnp.float32).reshape(*lead, num_out, 1) + 0.5) * scale
    )
    distance = jnp.abs(pixel + 0.5 - center) / jnp.maximum(scale, 1.0)
    near = (1.5 * distance - 2.5) * distance**2 + 1.0
    far = ((-0.5 * distance + 2.5) * distance - 4.0) * distance + 2.0
    kernel = jnp.where(distance < 1.0, near, jnp.where(distance < 2.0, far, 0.0))
    inside = (pixel >= start) & (pixel < start + length)
    kernel = jnp.where(inside, kernel, 0.0)
    return kernel / kernel.sum(-1, keepdims=True)


def reflected_positions(shift: jax.Array, size: int) -> jax.Array:
    """Source pixel of each pixel of an axis moved by `shift`; the border reflects, edge once.

    Args:
      shift: int `[...]`, |shift| < size; positive moves the content towards higher indices.
      size: pixels of the axis.

    Returns:
      int32 `[..., size]` in 0..size - 1: `numpy.pad(mode="reflect")` and a crop.
    """
    positions = jnp.arange(size).reshape((1,) * shift.ndim + (size,)) - shift[..., None]
    return (size - 1) - jnp.abs((size - 1) - jnp.abs(positions))


def random_shifts(uniforms: jax.Array, *, max_shift: int) -> tuple[jax.Array, jax.Array]:
    """With probability 0.8 an integer shift of each axis in [-max_shift, max_shift], else none.

    Args:
      uniforms: `[..., NUM_SHIFT_UNIFORMS]` in [0, 1).
      max_shift: pixels.

    Returns:
      Vertical and horizontal shift, int32 `[...]`.
    """
    applied = uniforms[..., 0] < SHIFT_PROBABILITY
    shifts = jnp.floor(uniforms[..., 1:] * (2 * max_shift + 1)).astype(jnp.int32) - max_shift
    shifts = jnp.where(applied[..., None], shifts, 0)
    return shifts[..., 0], shifts[..., 1]


def random_crops(
    uniforms: jax.Array,
    *,
    size: int,
    area_range: tuple[float, float] = CROP_AREA,
    aspect_range: tuple[float, float] = CROP_ASPECT,
) -> tuple[jax.Array, ...]:
    """Crop boxes as torchvision's RandomResizedCrop draws them from a square image.

    Ten tries of uniform area and log-uniform aspect; the first that fits wins, else the whole
    image. All tries are drawn at once: the distribution is the same.

    Args:
      uniforms: `[..., NUM_CROP_UNIFORMS]` in [0, 1).
      size: height and width of the image in pixels.
      area_range: share of the image, lowest and highest; AMDIM's by default.
      aspect_range: width over height, likewise.

    Returns:
      top, left, height, width in pixels, float32 `[...]` holding integers.
    """
    area_draw, aspect_draw = uniforms[..., :_CROP_TRIES], uniforms[..., _CROP_TRIES:-2]
    area = size**2 * (area_range[0] + (area_range[1] - area_range[0]) * area_draw)
    log_low, log_high = (math.log(bound) for bound in aspect_range)
    aspect = jnp.exp(log_low + (log_high - log_low) * aspect_draw)
    widths = jnp.round(jnp.sqrt(area * aspect))
    heights = jnp.round(jnp.sqrt(area / aspect))
    fits = (widths <= size) & (heights <= size) & (widths > 0) & (heights > 0)
    first = jnp.argmax(fits, -1, keepdims=True)
    found = fits.any(-1)
    height, width = (
        jnp.where(found, jnp.take_along_axis(sides, first, -1)[..., 0], float(size))
        for sides in (heights, widths)
    )
    top = jnp.floor(uniforms[..., -2] * (size - height + 1.0))
    left = jnp.floor(uniforms[..., -1] * (size - width + 1.0))
    return top, left, height, width


def resample(images: jax.Array, rows: jax.Array, columns: jax.Array) -> jax.Array:
    """`rows @ image @ columns^T` per channel, clipped to [0, 1] after each pass as PIL does.

    Args:
      images: float32 `[..., S, S, 3]` in [0, 1].
      rows: `[..., s, S]`, columns: `[..., s, S]`, from `resize_weights`.
      columns: as rows, for the horizontal axis, which goes first.

    Returns:
      float32 `[..., s, s, 3]` in [0, 1].
    """
    precision = jax.lax.Precision.HIGHEST  # TF32 or bfloat16 would cost a level of 256
    images = jnp.einsum("...xw,...hwc->...hxc", columns, images, precision=precision)
    images = jnp.clip(images, 0.0, 1.0)
    images = jnp.einsum("...yh,...hxc->...yxc", rows, images, precision=precision)
    return jnp.clip(images, 0.0, 1.0)
