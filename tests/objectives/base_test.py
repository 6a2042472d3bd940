"""Metrics under their full names, masks of pairs, unit vectors."""

import jax
import jax.numpy as jnp
import numpy as np

from tvdim_jax.losses import score_summary
from tvdim_jax.objectives.base import image_text_masks, score_metrics, unit_norm


def test_every_number_of_the_summary_has_a_name():
    summary = score_summary([[2.0, 0.0], [1.0, 3.0]])
    metrics = score_metrics(summary)
    assert metrics == {
        "train/mi_image_text_nats": summary["mi_nats"],
        "train/loss_over_log_n": summary["loss_over_log_n"],
        "train/positive_score": summary["positive_score"],
        "train/hardest_negative_score": summary["hardest_negative_score"],
    }
    assert len(metrics) == len(summary)
    assert float(metrics["train/positive_score"]) == 2.5


def test_masks_of_images_and_texts():
    masks = image_text_masks(
        {
            "image_id": jnp.array([4, 4, 5]),
            "text_id": jnp.array([7, -1, 8]),
            "where": jnp.array([True, True, False]),
        }
    )
    assert masks["x_where"].tolist() == [True, True, False]
    assert masks["y_where"].tolist() == [True, False, False]
    for prefix in "xy":
        assert masks[f"{prefix}_group_id"].tolist() == [[4, 7], [4, -1], [5, 8]]


def test_unit_vectors():
    vectors = jnp.array([[3.0, 4.0], [0.0, 0.0]], jnp.bfloat16)
    unit = unit_norm(vectors)
    assert unit.dtype == jnp.float32
    np.testing.assert_allclose(unit, [[0.6, 0.8], [0, 0]], rtol=1e-6)
    gradient = jax.grad(lambda v: jnp.sum(unit_norm(v)[:, 0]))(vectors)
    assert np.all(np.isfinite(gradient.astype(jnp.float32)))
