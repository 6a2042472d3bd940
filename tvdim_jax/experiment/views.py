"""From config to what the encoders see of stored images."""

from collections.abc import Callable

import jax
from ml_collections import ConfigDict

from tvdim_jax.augment import make_eval_view, make_two_views, make_xray_view

XRAY = "xray"


def make_train_view(config: ConfigDict) -> Callable[[jax.Array, jax.Array], jax.Array]:
    """`view(key, images) -> [B, s, s, C]`: one augmented view, for objectives that take one."""
    if config.augment == XRAY:
        return make_xray_view(config.model.image_size, train=True)
    two_views = make_two_views(config.augment, config.model.image_size)
    return lambda key, images: two_views(key, images)[0]


def make_plain_view(augment: str, image_size: int) -> Callable[[jax.Array], jax.Array]:
    """`view(images) -> [B, s, s, C]`: nothing random, to evaluate on."""
    if augment != XRAY:
        return make_eval_view(augment, image_size)
    view = make_xray_view(image_size, train=False)
    return lambda images: view(jax.random.key(0), images)  # the key is not read
