"""The augmentations of AMDIM: two random views to train on, one fixed view to evaluate."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp

from tvdim_jax.augment.color import (
    NUM_JITTER_UNIFORMS,
    color_jitter,
    grayscale,
    planes,
    random_jitter,
)
from tvdim_jax.augment.geometry import (
    NUM_CROP_UNIFORMS,
    NUM_SHIFT_UNIFORMS,
    random_crops,
    random_shifts,
    reflected_positions,
    resample,
    resize_weights,
)

FLIP_PROBABILITY = 0.5
GRAYSCALE_PROBABILITY = 0.25
IMAGE_SIZES = (32, 64, 128)


class Augmentation(NamedTuple):
    """What differs between data sets.

    Attributes:
      is_shift: True: reflected shift by up to an eighth of the view (4 of 32 pixels) of the whole
        image; False: random resized crop.
      max_hue: turns.
      mean: per channel, in [0, 1].
      std: per channel.
      eval_resize: pixels resized to, per pixel of the centre crop, in evaluation.
    """

    is_shift: bool
    max_hue: float
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    eval_resize: float


AUGMENTATIONS: Mapping[str, Augmentation] = {
    "cifar": Augmentation(
        is_shift=True,
        max_hue=0.2,
        mean=(125.3 / 255, 123.0 / 255, 113.9 / 255),
        std=(63.0 / 255, 62.1 / 255, 66.7 / 255),
        eval_resize=1.0,
    ),
    "stl": Augmentation(
        is_shift=False,
        max_hue=0.2,
        mean=(0.43, 0.42, 0.39),
        std=(0.27, 0.26, 0.27),
        eval_resize=70 / 64,
    ),
    "imagenet": Augmentation(
        is_shift=False,
        max_hue=0.1,
        mean=(0.485, 0.456, 0.406),
        std=(0.229, 0.224, 0.225),
        eval_resize=146 / 128,
    ),
}


def make_two_views(
    name: str, image_size: int
) -> Callable[[jax.Array, jax.Array], tuple[jax.Array, jax.Array]]:
    """The training augmentation.

    Flip with probability 0.5, the same for both views; then, independently per view: shift or
    random resized crop, colour jitter (probability 0.8), grayscale (0.25), normalisation. All
    random numbers come from one draw whose row i belongs to image i whatever the batch size, so the
    views do not depend on how the batch is spread over devices. Pixels stay float32 throughout,
    where PIL rounds to 8 bits after each operation.

    Args:
      name: a key of AUGMENTATIONS.
      image_size: 32, 64 or 128, height and width of the views in pixels.

    Returns:
      `two_views(key, images)`: typed PRNG key and uint8 `[B, S, S, 3]`, S >= image_size -> two
      float32 `[B, image_size, image_size, 3]`, normalised. Not jitted. ValueError on other images.

    Raises:
      ValueError: unknown name or image_size.

    Source: `datasets.py` of the AMDIM release (arXiv 1906.00910).
    """
    augmentation = _find(name, image_size)
    num_geometry = NUM_SHIFT_UNIFORMS if augmentation.is_shift else NUM_CROP_UNIFORMS

    def two_views(key: jax.Array, images: jax.Array) -> tuple[jax.Array, jax.Array]:
        _check(images, image_size)
        num_draws = num_geometry + NUM_JITTER_UNIFORMS + 1
        draws = jax.random.uniform(key, (images.shape[0], 2 * num_draws + 1))
        flip = draws[:, -1] < FLIP_PROBABILITY
        draws = draws[:, :-1].reshape(images.shape[0], 2, num_draws)
        geometry, jitter, gray = jnp.split(draws, (num_geometry, num_draws - 1), axis=-1)
        views = images.astype(jnp.float32)[:, None] / 255.0
        views = _random_geometry(augmentation, views, flip, geometry, image_size)
        image = color_jitter(planes(views), *random_jitter(jitter, max_hue=augmentation.max_hue))
        is_gray = gray[..., None] < GRAYSCALE_PROBABILITY
        luma = grayscale(image)
        views = jnp.stack([jnp.where(is_gray, luma, plane) for plane in image], -1)
        views = _normalise(augmentation, views)
        return views[:, 0], views[:, 1]

    return two_views


def make_eval_view(name: str, image_size: int) -> Callable[[jax.Array], jax.Array]:
    """The view to evaluate on: bicubic resize, centre crop, normalisation; nothing random.

    "cifar" resizes to image_size (nothing to do at that size), "stl" to 70/64 and "imagenet" to
    146/128 of it, rounded, and crops the centre.

    Args:
      name: a key of AUGMENTATIONS.
      image_size: 32, 64 or 128.

    Returns:
      `eval_view(images)`: uint8 `[B, S, S, 3]`, S >= image_size -> float32 `[B, image_size,
      image_size, 3]`, normalised. Not jitted. ValueError on other images.

    Raises:
      ValueError: unknown name or image_size.
    """
    augmentation = _find(name, image_size)
    resized = round(image_size * augmentation.eval_resize)
    top = round((resized - image_size) / 2)

    def eval_view(images: jax.Array) -> jax.Array:
        _check(images, image_size)
        size = images.shape[1]
        weights = resize_weights(0, size, num_out=resized, num_in=size)[top : top + image_size]
        views = resample(images.astype(jnp.float32) / 255.0, weights, weights)
        return _normalise(augmentation, views)

    return eval_view


def _random_geometry(
    augmentation: Augmentation,
    images: jax.Array,
    flip: jax.Array,
    uniforms: jax.Array,
    image_size: int,
) -> jax.Array:
    """Images `[B, 1, S, S, 3]`, flip `[B]`, uniforms `[B, 2, K]` -> `[B, 2, s, s, 3]`."""
    size = images.shape[-2]
    if augmentation.is_shift:
        whole = resize_weights(0, size, num_out=image_size, num_in=size)
        rows, columns = (
            whole[reflected_positions(shift, image_size)]
            for shift in random_shifts(uniforms, max_shift=image_size // 8)
        )
    else:
        top, left, height, width = random_crops(uniforms, size=size)
        rows = resize_weights(top, height, num_out=image_size, num_in=size)
        columns = resize_weights(left, width, num_out=image_size, num_in=size)
    columns = jnp.where(flip[:, None, None, None], columns[..., ::-1], columns)  # flip comes first
    return resample(images, rows, columns)


def _normalise(augmentation: Augmentation, images: jax.Array) -> jax.Array:
    channels = (1,) * (images.ndim - 1) + (3,)
    mean = jnp.array(augmentation.mean).reshape(channels)
    std = jnp.array(augmentation.std).reshape(channels)
    return (images - mean) / std


def _find(name: str, image_size: int) -> Augmentation:
    if name not in AUGMENTATIONS:
        raise ValueError(
            f"unknown augmentation {name!r}; wanted one of {', '.join(AUGMENTATIONS)}."
        )
    if image_size not in IMAGE_SIZES:
        raise ValueError(
            f"augmentation {name!r}: image_size is {image_size}; wanted one of {IMAGE_SIZES}."
        )
    return AUGMENTATIONS[name]


def _check(images: jax.Array, image_size: int) -> None:
    shape = images.shape
    square = len(shape) == 4 and shape[1] == shape[2] and shape[3] == 3
    if images.dtype != jnp.uint8 or not square or shape[1] < image_size:
        raise ValueError(
            f"augmentation: images are {images.dtype} {shape}; wanted uint8 [B, S, S, 3] with S >= "
            f"{image_size}. Decode to squares of at least the view's size."
        )
