"""Few labels: on findings and on classes."""

import numpy as np
import pytest

from tests.reference.label_table import Findings, Table, halves
from tests.reference.tiny_run import tiny_config
from tvdim_jax.experiment.data import Splits
from tvdim_jax.experiment.tasks import Context, Images
from tvdim_jax.experiment.tasks.label_fractions import LABEL_FRACTIONS


def run(train, test, features_of, **changes):
    parts = [
        Images(np.arange(len(source)), {"global": features_of(source, seed)})
        for seed, source in enumerate((train, test))
    ]
    context = Context(tiny_config(**changes), Splits(train, test), *parts, None, None)
    return LABEL_FRACTIONS.run(context).result


def test_more_labels_find_more():
    train, test = Findings(1000, seed=0), Findings(300, seed=1)
    result = run(train, test, lambda source, seed: source.features(seed, 1.5))
    metrics = result["metrics"]
    assert list(metrics) == ["mean_auc_1%", "mean_auc_10%", "mean_auc_100%"]
    assert metrics["mean_auc_1%"] < metrics["mean_auc_10%"] < metrics["mean_auc_100%"]
    assert metrics["mean_auc_100%"] > 0.8
    assert result["details"]["global"]["10 %"] == metrics["mean_auc_10%"]
    assert result["probes"]["mean_auc_10%"]["num_available"] == 1000
    assert result["probes"]["mean_auc_10%"]["probe"]["num_train"] == 100  # of 25 of 250 subjects
    assert result["note"].startswith(
        "of the 250 subjects of 1,000 training images; mean AUROC of the 3 of 3 findings that all "
        "shares can learn; uncertain labels"
    )


def test_classes_and_a_share_that_is_too_small():
    source = Table(40, labels=halves(40))

    def wheel(source, seed):
        angle = np.arange(40) * (2 * np.pi / 40)
        return np.stack([np.cos(angle), np.sin(angle)], -1).astype(np.float32)

    result = run(source, source, wheel)
    assert list(result["metrics"]) == ["accuracy_10%", "accuracy_100%"]
    assert result["details"]["global"]["1 %"] is None
    assert result["note"].startswith("of the labels of 40 training images; label fraction 0.01")
    assert "label fraction 0.01, 1 of 40 rows: a linear probe needs 2" in result["note"]
    two = Table(2, labels=[["low"], ["high"]])
    with pytest.raises(ValueError, match=r"0.01, 1 of 2 rows: .*; label fraction 0.1"):
        run(two, two, lambda source, seed: np.eye(2, dtype=np.float32) * np.nan)
