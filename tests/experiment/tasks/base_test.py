"""What all tasks share."""

from tests.reference.label_table import Findings, Table
from tests.reference.tiny_run import tiny_config
from tvdim_jax.experiment.tasks.base import first_rows, group_ids, limits, metric_name, record


def test_the_rows_that_are_read():
    config = tiny_config()
    assert limits(config) == (40, 24)
    assert list(first_rows(config, Table(5), 3)) == [0, 1, 2]
    assert list(first_rows(config, Table(5), 9)) == [0, 1, 2, 3, 4]


def test_images_of_one_subject_or_else_of_one_study():
    assert group_ids(Findings(9, seed=0), [0, 3, 4, 8]).tolist() == [0, 0, 1, 2]
    plain = Table(9)
    assert group_ids(plain, [2, 5]).tolist() == [2, 5]
    plain.study_id = lambda row: row // 3
    assert group_ids(plain, [2, 5]).tolist() == [0, 1]


def test_a_record():
    result = {"metric": "accuracy", "value": 0.5, "seed": 1}
    assert record(result) == {"metrics": {"accuracy": 0.5}, "seed": 1}


def test_the_names_of_metrics():
    assert metric_name("global", "mean_auc") == "mean_auc"
    assert metric_name("local_mean", "mean_auc") == "local_mean_auc"
