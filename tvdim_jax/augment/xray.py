"""The views of LMI: 16-bit grey X-rays, turned and shifted, cropped, divided by their maximum."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

MAX_DEGREES = 20.0
MAX_SHIFT = 0.1  # of the view's side
MIN_DIVISOR = 1e-3


def make_xray_view(image_size: int, train: bool) -> Callable[[jax.Array, jax.Array], jax.Array]:
    """The view of a stored X-ray, in the order of the LMI release.

    In training an affine map first: rotation by U(-20, 20) degrees, shifts by U(-0.1, 0.1) of
    image_size rounded to whole pixels, nearest pixel, 0 outside. Then, in training and in
    evaluation, the centre crop, float32, and division by max(1e-3, the view's own maximum).

    A batch needs one size, so images are stored as squares with a margin (data.squares.
    grey_square: shorter side image_size, centre on a black square of 21/16 of it). The release
    turns the whole image; of one whose sides differ by more than 1.31 the square lacks the ends, of
    others nothing. Its shift goes by the image's own sides, at least image_size, and its turning
    point lies up to half a pixel off where the number of pixels cut off is odd.

    The release casts to int16 first, which Pillow reads back as the same 16 bits without a sign:
    keeping uint16 is that cast. Row i of the draws belongs to image i whatever the batch size.

    Args:
      image_size: s, height and width of the view in pixels, at least 1.
      train: whether to turn and shift.

    Returns:
      `xray_view(key, images)`: typed PRNG key (read in training only) and uint16
      `[B, S, S, 1]`, S >= s -> float32 `[B, s, s, 1]` in [0, 1]. Not jitted. ValueError on other
      images.

    Source: the LMI release (arXiv 2103.04537).
    """

    def xray_view(key: jax.Array, images: jax.Array) -> jax.Array:
        _check(images, image_size)
        if train:
            draws = 2.0 * jax.random.uniform(key, (images.shape[0], 3)) - 1.0
            shifts = jnp.round(MAX_SHIFT * image_size * draws[:, 1:]).astype(jnp.int32)
            images = affine(images, MAX_DEGREES * draws[:, 0], shifts)
        return divide_by_max(center_crop(images, image_size))

    return xray_view


def affine(images: jax.Array, degrees: jax.Array, shifts: jax.Array) -> jax.Array:
    """Turns images round their centre, then shifts them; nearest pixel, 0 outside.

    The pixel (x, y) of the result, with X = x + 0.5 - W/2 - tx and Y = y + 0.5 - H/2 - ty, is the
    pixel floor(X cos a + Y sin a + W/2), floor(-X sin a + Y cos a + H/2) of the image, as in
    torchvision's affine on a PIL image.

    Args:
      images: `[B, H, W, 1]`, any dtype.
      degrees: a, float32 `[B]`, positive turns clockwise.
      shifts: tx to the right and ty downwards in pixels, int `[B, 2]`.

    Returns:
      `[B, H, W, 1]`, the dtype of the images.
    """
    num_images, height, width, _ = images.shape
    radians = jnp.deg2rad(degrees)[:, None, None]
    tx, ty = (shifts[:, axis, None, None] for axis in (0, 1))
    x = jnp.arange(width)[None, None, :] + 0.5 - width / 2 - tx
    y = jnp.arange(height)[None, :, None] + 0.5 - height / 2 - ty
    cos, sin = jnp.cos(radians), jnp.sin(radians)
    column = jnp.floor(cos * x + sin * y + width / 2).astype(jnp.int32)
    row = jnp.floor(cos * y - sin * x + height / 2).astype(jnp.int32)
    inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
    place = jnp.where(inside, row * width + column, 0).reshape(num_images, -1)
    pixels = jnp.take_along_axis(images.reshape(num_images, -1), place, axis=1)
    return jnp.where(inside[..., None], pixels.reshape(images.shape), 0)


def center_crop(images: jax.Array, size: int) -> jax.Array:
    """The centre of images; a side shorter than `size` is filled up with zeros first.

    Offsets are torchvision's: round((H - size) / 2), half to even; (size - H) // 2 zeros before.

    Args:
      images: `[B, H, W, 1]`, any dtype.
      size: pixels of a side.

    Returns:
      `[B, size, size, 1]`, the dtype of the images.
    """
    missing = [max(0, size - side) for side in images.shape[1:3]]
    zeros = [(0, 0), *((count // 2, (count + 1) // 2) for count in missing), (0, 0)]
    images = jnp.pad(images, zeros)
    top, left = (round((side - size) / 2) for side in images.shape[1:3])
    return images[:, top : top + size, left : left + size]


def divide_by_max(images: jax.Array) -> jax.Array:
    """Each image over its largest value; an image of zeros stays one.

    Args:
      images: uint16 `[B, H, W, 1]`.

    Returns:
      float32 `[B, H, W, 1]` in [0, 1].
    """
    pixels = images.astype(jnp.float32)
    return pixels / jnp.maximum(MIN_DIVISOR, pixels.max((1, 2, 3), keepdims=True))


def _check(images: jax.Array, image_size: int) -> None:
    shape = images.shape
    square = len(shape) == 4 and shape[1] == shape[2] and shape[3] == 1
    if images.dtype != jnp.uint16 or not square or shape[1] < image_size:
        raise ValueError(
            f"X-ray view: images are {images.dtype} {shape}; wanted uint16 [B, S, S, 1] with S >= "
            f"{image_size}. Store them with data.squares.grey_square."
        )
