"""Runs side by side."""

from tests.reference.report_folder import HOSTILE, Elements, metric_rows
from tvdim_jax.report.comparison import (
    ComparedRun,
    Differences,
    comparison_lead,
    comparison_sections,
)
from tvdim_jax.report.intervals import Interval
from tvdim_jax.report.scores import Score

RUNS = [
    ComparedRun(
        "text", metric_rows(), [Score("knn", "scenes", "accuracy", 0.9, {})], {"a": 1, "seed": 0}
    ),
    ComparedRun(HOSTILE, [], [Score("knn", "scenes", "accuracy", 0.5, {})], {"a": 2, "seed": 0}),
]


def sections(differences):
    found = comparison_sections(RUNS, differences, confidence=0.95)
    return {section.id: Elements(section.body) for section in found}


def test_scores_curves_and_fields():
    page = sections([])
    assert page["scores"].text.endswith(f"text {HOSTILE} kNN on scenes accuracy 90.0 % 50.0 %")
    assert page["settings"].text == f"text {HOSTILE} a 1 2"
    assert len(page["curves"].of("svg")) == 4


def test_differences_in_points_with_their_intervals():
    found = {"knn on scenes, accuracy": Interval(-0.4, -0.5, -0.3)}
    page = sections([Differences(HOSTILE, found, ["step 6 against 5"])])["differences"]
    (figure,) = page.of("svg")
    assert "knn on scenes, accuracy: -40 (-50 to -30)" in figure["aria-label"]
    assert "95 % intervals" in page.text
    assert page.text.endswith("step 6 against 5")


def test_no_single_scores_in_common():
    page = sections([Differences("images", {}, [])])["differences"]
    assert "No single scores of the same images in both runs." in page.text


def test_the_lead_says_which_intervals_leave_out_zero():
    found = {"knn": Interval(-0.4, -0.5, -0.3), "probe": Interval(0.01, -0.02, 0.04)}
    text = Elements(comparison_lead([Differences("b", found, [])], "a")).text
    assert "b is 40.0 points below a in knn; the interval -50.0 to -30.0 leaves out zero" in text
    assert "b is 1.0 points above a in probe; the interval -2.0 to +4.0 holds zero: it may" in text
