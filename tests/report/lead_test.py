"""The first screen."""

from tests.reference.report_folder import Elements, metric_rows, probe_record, retrieval_record
from tvdim_jax.report.lead import make_lead
from tvdim_jax.report.scores import scores_of

OPTIONS = {"about": "tvdim on scenes", "num_steps": 6, "ceiling": 2.08}


def test_tiles_marks_and_what_stands_below():
    scores = scores_of([retrieval_record(), probe_record()])
    lead = Elements(make_lead(scores, metric_rows(), finished=True, **OPTIONS))
    text = lead.text
    assert text.startswith("tvdim on scenes finished After 6 updates, the linear probe on scenes")
    assert (
        "linear probe, accuracy 90.0 % random initialisation 40.0 % pixels + gradients 60.0 % "
        "image to text R@10 50.0 % random initialisation 11.0 % chance 10.0 % "
        "text to image R@10 45.0 % chance 8.0 % mutual information 1.04 nats at most log N 2.08"
    ) in text
    marks = [each for each in lead.of("i") if each["class"] == "mark"]
    assert [each["style"] for each in marks[:3]] == ["left: 40.00%", "left: 20.00%", "left: 60.00%"]
    assert marks[0]["title"] == "random initialisation 40.0 %"
    bars = [each["style"] for each in lead.of("i") if each["class"] == "bar"]
    assert bars[0] == "width: 90.00%"


def test_a_run_that_has_nothing_has_no_tiles():
    lead = Elements(make_lead([], [], finished=False, warnings=["a file is damaged"], **OPTIONS))
    assert not [each for each in lead.of("div") if each.get("class") == "tile"]
    assert lead.text.endswith("not begun No update of 6 was logged yet. a file is damaged")


def test_a_bound_below_zero_has_an_empty_bar():
    rows = [{"step": 1, "train/mi_image_text_nats": -0.6}]
    lead = Elements(make_lead([], rows, finished=False, **OPTIONS))
    assert "-0.60 nats" in lead.text
    assert [each["style"] for each in lead.of("i")] == ["width: 0.00%"]
    assert "unfinished: update 1 of 6" in lead.text


def test_a_run_that_was_trained_and_not_scored_to_its_end():
    lead = Elements(make_lead([], metric_rows(), finished=False, **OPTIONS))
    assert (
        "trained, its evaluation unfinished After 6 updates, nothing was scored yet." in lead.text
    )
