"""Colour jitter and grayscale on float images in [0, 1], as torchvision defines them.

Inside, an image is three planes `[..., h, w]`: with the channels last, XLA does not vectorise this
arithmetic on a CPU and takes 7 times as long.
"""

import itertools

import jax
import jax.numpy as jnp
import numpy as np

BRIGHTNESS, CONTRAST, SATURATION, HUE = range(4)
NUM_JITTER_UNIFORMS = 6
JITTER_PROBABILITY = 0.8
JITTER_STRENGTH = 0.4  # of brightness, contrast and saturation
_ORDERS = np.array(list(itertools.permutations(range(4))), np.int32)

Planes = tuple[jax.Array, jax.Array, jax.Array]


def planes(images: jax.Array) -> Planes:
    """`[..., h, w, 3]` -> red, green and blue `[..., h, w]`."""
    return images[..., 0], images[..., 1], images[..., 2]


def grayscale(image: Planes) -> jax.Array:
    """Luma, 0.299 red + 0.587 green + 0.114 blue, `[..., h, w]`."""
    red, green, blue = image
    return 0.299 * red + 0.587 * green + 0.114 * blue


def shift_hue(image: Planes, shift: jax.Array) -> Planes:
    """Turns the hue, keeping value and chroma of HSV.

    Args:
      image: planes `[..., h, w]` in [0, 1].
      shift: turns, broadcastable to a plane; 1 is the full circle.

    Returns:
      Planes in [0, 1].
    """
    red, green, blue = image
    value = jnp.maximum(jnp.maximum(red, green), blue)
    chroma = value - jnp.minimum(jnp.minimum(red, green), blue)
    divisor = jnp.where(chroma > 0.0, chroma, 1.0)
    sextant = jnp.where(
        value == red,
        (green - blue) / divisor,
        jnp.where(value == green, 2.0 + (blue - red) / divisor, 4.0 + (red - green) / divisor),
    )

    def channel(offset: float) -> jax.Array:
        # A channel falls from value by chroma * ramp, ramp in [0, 1] by its place on the circle.
        place = sextant + 6.0 * shift + offset
        place = place - 6.0 * jnp.floor(place / 6.0)  # %, which XLA does not vectorise on a CPU
        return value - chroma * jnp.clip(jnp.minimum(place, 4.0 - place), 0.0, 1.0)

    return channel(5.0), channel(3.0), channel(1.0)


def color_jitter(image: Planes, strengths: jax.Array, order: jax.Array) -> Planes:
    """Brightness, contrast, saturation and hue, in the given order, clipped after each.

    The first three are `factor * image + (1 - factor) * other`: other is black, the mean of the
    grayscale image, or the grayscale image. A factor of 1 and a turn of 0 change nothing (the turn
    up to rounding).

    Args:
      image: planes `[..., h, w]` in [0, 1].
      strengths: `[..., 4]`, factors of brightness, contrast and saturation, then the hue in turns.
      order: int `[..., 4]`, a permutation: the operations in the order in which they apply.

    Returns:
      Planes in [0, 1].
    """

    # One loop body for all orders: a switch under vmap would run every branch anyway.
    def step(image: Planes, operation: jax.Array) -> tuple[Planes, None]:
        strength = jnp.take_along_axis(strengths, operation[..., None], -1)[..., None]
        operation = operation[..., None, None]
        gray = grayscale(image)
        other = jnp.where(operation == CONTRAST, gray.mean((-2, -1), keepdims=True), gray)
        other = jnp.where(operation == BRIGHTNESS, 0.0, other)
        red, green, blue = (
            jnp.where(
                operation == HUE,
                turned,
                jnp.clip(strength * plane + (1.0 - strength) * other, 0.0, 1.0),
            )
            for plane, turned in zip(image, shift_hue(image, strength), strict=True)
        )
        return (red, green, blue), None

    return jax.lax.scan(step, image, jnp.moveaxis(order, -1, 0))[0]


def random_jitter(uniforms: jax.Array, *, max_hue: float) -> tuple[jax.Array, jax.Array]:
    """Strengths and order of the jitter: with probability 0.8 random, else without effect.

    Args:
      uniforms: `[..., NUM_JITTER_UNIFORMS]` in [0, 1).
      max_hue: turns; the hue is U(-max_hue, max_hue), the factors U(0.6, 1.4).

    Returns:
      `strengths` `[..., 4]` and `order` `[..., 4]` of `color_jitter`.
    """
    lead = (1,) * (uniforms.ndim - 1)
    center = jnp.array([1.0, 1.0, 1.0, 0.0]).reshape(*lead, 4)
    width = jnp.array([JITTER_STRENGTH] * 3 + [max_hue]).reshape(*lead, 4)
    applied = uniforms[..., 0:1] < JITTER_PROBABILITY
    strengths = jnp.where(applied, center + width * (2.0 * uniforms[..., 1:5] - 1.0), center)
    order = jnp.asarray(_ORDERS)[(uniforms[..., 5] * len(_ORDERS)).astype(jnp.int32)]
    return strengths, order
