"""Which curves are drawn, and where their ceilings lie."""

import math

import pytest

from tests.reference.report_folder import Elements, metric_rows
from tvdim_jax.report.curves import ceiling, curves_section, line_of
from tvdim_jax.report.lines import Line


def titles(section):
    page = Elements(section.body)
    return page.text


def test_charts_of_a_run_with_text():
    rate = Line("learning rate", [1, 2], [0.1, 0.2])
    text = titles(curves_section(metric_rows(), batch_size=8, learning_rate=rate))
    for title in ("Mutual information, lower bound", "Loss over log N", "Loss", "Scores of pairs",
                  "Gradient norm", "Learning rate", "All else that was logged: 1 more",
                  "image loss", "N = 8, the positive counted", "by the schedule"):  # fmt: skip
        assert title in text
    assert "Temperature" not in text


def test_images_alone_have_no_curve_of_texts():
    rows = [{"step": 1, "train/loss": 2.0}, {"step": 2, "train/loss": 1.0}]
    text = titles(curves_section(rows, batch_size=8))
    assert "Loss" in text
    assert "Mutual information" not in text
    assert "All else" not in text


def test_nothing_logged():
    assert "metrics.jsonl has 0 rows" in titles(curves_section([], batch_size=8))


def test_loss_at_chance_is_drawn_where_it_is_known():
    rows = metric_rows()
    assert "chance, log N" not in curves_section(rows, batch_size=8).body
    assert "chance, log N" in curves_section(rows, batch_size=8, loss_at_chance=2.0).body


def test_scores_in_training_are_a_curve_from_the_second_on():
    rows = [
        {"step": step, "train/loss": 1.0, "eval/scenes/knn/accuracy": step / 10} for step in (1, 2)
    ]
    assert "Held-out scores" in titles(curves_section(rows, batch_size=8))
    assert "Held-out scores" not in titles(curves_section(rows[:1], batch_size=8))


@pytest.mark.parametrize("num_anchors", [8, 500])
def test_the_ceiling_is_that_of_the_anchors_not_of_the_batch(num_anchors):
    rows = metric_rows(log_n=math.log(num_anchors))
    assert ceiling(rows, batch_size=64) == pytest.approx(math.log(num_anchors))


def test_the_ceiling_without_rows_is_that_of_the_batch():
    assert ceiling([{"step": 1, "train/loss_over_log_n": 1.0}], 64) == pytest.approx(math.log(64))


def test_values_that_were_not_finite_are_left_out():
    rows = [{"step": 1, "a": 1.0}, {"step": 2, "a": None}, {"step": 3}]
    assert line_of(rows, "a", "A") == Line("A", (1,), (1.0,))
    assert line_of(rows[1:], "a", "A") is None
