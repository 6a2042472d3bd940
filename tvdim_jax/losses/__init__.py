"""Losses and bounds: pure functions of arrays, minimised as `*_loss`, maximised as `*_lower_bound`.

They know no encoder, no device and no config, and hold under jit, grad, vmap, pmap and shard_map.
"""

from tvdim_jax.losses.local import local_scores
from tvdim_jax.losses.mi_bounds import info_nce_loss, info_nce_lower_bound
from tvdim_jax.losses.multiscale import multiscale_info_nce_loss
from tvdim_jax.losses.ranking import margin_ranking_loss

__all__ = [
    "info_nce_loss",
    "info_nce_lower_bound",
    "local_scores",
    "margin_ranking_loss",
    "multiscale_info_nce_loss",
]
