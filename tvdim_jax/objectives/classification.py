"""Supervised classification: what fine-tuning minimises."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

from tvdim_jax.losses.classification import (
    sigmoid_cross_entropy_loss,
    softmax_cross_entropy_loss,
)
from tvdim_jax.objectives.base import Metrics, Objective


def make_classification_objective(*, batch_statistics: bool = True) -> Objective:
    """Cross-entropy of an image encoder with a classifier on its global features.

    Args:
      batch_statistics: how batch norms of the encoder train. True: by the statistics of the batch,
        and the running ones move, those of layers without a gradient too. False: by the running
        ones, which stay as they are, so that such layers compute what they always did.

    Returns:
      An objective of a batch with "view" `[B, s, s, C]`, "where" bool `[B]` (True = a real row)
      and "labels": int `[B]` for one label a row, or bool `[B, C]` for several, of which
      "label_where" bool `[B, C]` tells the known ones. `apply` has `image`, see experiment.model,
      and `classifier(params, features [B, D]) -> logits [B, C]`. Its metric "train/accuracy" is
      the share of right rows, or of known entries on the right side of 0.
    """

    def objective(
        params: Any,
        variables: Any,
        batch: Mapping[str, jax.Array],
        *,
        apply: Any,
        key: jax.Array,
        step: jax.Array,
    ) -> tuple[jax.Array, tuple[Metrics, Any]]:
        del step  # the same loss at every update
        features, variables = apply.image(
            params, variables, batch["view"], train=batch_statistics, key=key
        )
        logits = apply.classifier(params, features.global_features)
        labels, where = batch["labels"], batch["where"]
        if labels.ndim == 1:
            loss = softmax_cross_entropy_loss(logits, labels, where=where)
            right = jnp.argmax(logits, axis=-1) == labels
        else:
            where = where[:, None] & batch["label_where"]
            loss = sigmoid_cross_entropy_loss(logits, labels, where=where)
            right = (logits > 0) == labels
        accuracy = jnp.sum(right & where) / jnp.maximum(jnp.sum(where), 1)
        return loss, ({"train/accuracy": accuracy.astype(jnp.float32)}, variables)

    return objective
