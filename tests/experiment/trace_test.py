"""A dry run sees what the first update would meet."""

import jax
import pytest

from tests.reference.tiny_run import tiny_config
from tvdim_jax.experiment.trace import trace


def test_the_metrics_of_a_batch():
    metrics = trace(tiny_config())
    assert all(isinstance(leaf, jax.ShapeDtypeStruct) for leaf in metrics.values())
    assert {leaf.shape for leaf in metrics.values()} == {()}
    assert {
        "train/image_loss",
        "train/image_regularizer",
        "train/text_loss",
        "train/text_scale_7",
        "train/loss_over_log_n",
        "train/mi_image_text_nats",
    } <= set(metrics)


def test_without_text():
    assert not any("text" in name for name in trace(tiny_config(objective__name="amdim")))


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"model__image_size": 64}, "with S >= 64"),
        ({"objective__scales": (5, 5)}, "scales: got "),
        ({"model__image": "amdim_huge"}, "unknown image encoder 'amdim_huge'"),
        ({"model__text": "text_huge"}, "unknown text encoder 'text_huge'"),
    ],
)
def test_a_config_that_cannot_work_raises(changes, text):
    with pytest.raises(ValueError, match=text):
        trace(tiny_config(**changes))
