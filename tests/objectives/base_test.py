"""The metrics of scores under their full names."""

from tvdim_jax.losses import score_summary
from tvdim_jax.objectives.base import score_metrics


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
