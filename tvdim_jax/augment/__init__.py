"""Augmentation: (key, uint8 batch) -> views, pure jax, on the device."""

from tvdim_jax.augment.captions import make_captions_view
from tvdim_jax.augment.views import AUGMENTATIONS, make_eval_view, make_two_views
from tvdim_jax.augment.xray import make_xray_view

__all__ = [
    "AUGMENTATIONS",
    "make_captions_view",
    "make_eval_view",
    "make_two_views",
    "make_xray_view",
]
