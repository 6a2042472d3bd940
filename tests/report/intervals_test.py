"""Values with intervals."""

from xml.etree import ElementTree as ET

from tvdim_jax.report.intervals import Interval, draw_intervals
from tvdim_jax.report.lines import Level


def test_rows_series_level_and_what_is_under_the_pointer():
    svg = draw_intervals(
        ["InfoNCE", "NWJ"],
        {"trained": [Interval(2, 1.5, 2.5), Interval(1, 0, 2)], "untrained": [None, None]},
        unit="nats",
        level=Level(6.2, "the ceiling"),
    )
    root = ET.fromstring(svg)
    said = ["trained, InfoNCE: 2 (1.5 to 2.5)", "trained, NWJ: 1 (0 to 2)"]
    assert [each.text for each in root.iter("title")] == said
    assert root.get("aria-label") == f"nats: {'; '.join(said)}"
    texts = [each.text for each in root.iter("text")]
    assert {"InfoNCE", "NWJ", "nats", "the ceiling", "trained"} <= set(texts)
    assert texts.index("InfoNCE") < texts.index("NWJ")


def test_values_far_below_are_written_at_the_edge_and_stretch_no_axis():
    found = {"trained": [Interval(2, 1, 3), Interval(-25.8, -30, -22)]}
    svg = draw_intervals(["InfoNCE", "NWJ"], found, unit="nats", lowest=-6)
    root = ET.fromstring(svg)
    assert [each.text for each in root.iter("title")] == ["trained, InfoNCE: 2 (1 to 3)"]
    assert "trained, NWJ: -25.8 (-30 to -22)" in root.get("aria-label")
    texts = [each.text for each in root.iter("text")]
    assert "◂ -25.8" in texts
    numbers = [float(text.replace("−", "-")) for text in texts if text.strip("−.0123456789") == ""]
    assert -7 < min(numbers) < 0


def test_a_level_is_inside_an_axis_that_is_cut():
    found = {"trained": [Interval(2, 1, 3), Interval(-25.8, -30, -22)]}
    svg = draw_intervals(
        ["InfoNCE", "NWJ"], found, unit="nats", lowest=-6, level=Level(6.2, "the ceiling")
    )
    texts = [each.text for each in ET.fromstring(svg).iter("text")]
    assert "6" in texts  # a tick near it


def test_more_rows_make_it_higher():
    heights = [
        float(ET.fromstring(draw_intervals([""] * num, {"": [Interval(0, 0, 1)] * num}, unit="%"))
              .get("viewBox").split()[3])
        for num in (2, 10)
    ]  # fmt: skip
    assert heights[1] > 2 * heights[0]
