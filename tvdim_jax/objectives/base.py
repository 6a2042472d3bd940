"""What objectives have in common: their form, and the metrics of their scores."""

from collections.abc import Callable, Mapping
from typing import Any

import jax

Metrics = dict[str, jax.Array]
Objective = Callable[..., tuple[jax.Array, tuple[Metrics, Any]]]
"""`objective(params, variables, batch, *, apply, key, step) -> (loss, (metrics, variables))`."""
PairLoss = Callable[..., Any]
"""A loss of `tvdim_jax.losses.pairwise`, its options bound: `loss(critic, x, y, ...)`."""


def score_metrics(summary: Mapping[str, jax.Array]) -> Metrics:
    """The metrics of image-text scores, from their `tvdim_jax.losses.score_summary`."""
    return {
        "train/mi_image_text_nats": summary["mi_nats"],
        "train/loss_over_log_n": summary["loss_over_log_n"],
        "train/positive_score": summary["positive_score"],
        "train/hardest_negative_score": summary["hardest_negative_score"],
    }
