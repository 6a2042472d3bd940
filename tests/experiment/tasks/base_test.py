"""What all tasks share."""

from tests.reference.label_table import Table
from tests.reference.tiny_run import tiny_config
from tvdim_jax.experiment.tasks.base import first_rows, limits, metric_name, record


def test_the_rows_that_are_read():
    config = tiny_config()
    assert limits(config) == (40, 24)
    assert list(first_rows(config, Table(5), 3)) == [0, 1, 2]
    assert list(first_rows(config, Table(5), 9)) == [0, 1, 2, 3, 4]


def test_a_record():
    result = {"metric": "accuracy", "value": 0.5, "seed": 1}
    assert record(result) == {"metrics": {"accuracy": 0.5}, "seed": 1}


def test_the_names_of_metrics():
    assert metric_name("global", "mean_auc") == "mean_auc"
    assert metric_name("local_mean", "mean_auc") == "local_mean_auc"
