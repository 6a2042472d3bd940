"""Charts over the updates: values under the pointer, levels inside, axes."""

from xml.etree import ElementTree as ET

import pytest

from tvdim_jax.report.lines import MOST_TITLES, Level, Line, draw_lines


def titles(svg):
    return [each.text for each in ET.fromstring(svg).iter("title")]


def texts(svg):
    return [each.text for each in ET.fromstring(svg).iter("text")]


def test_each_value_is_under_the_pointer_with_its_update():
    svg = draw_lines([Line("loss", [20, 40, 1000], [2.5, 1.25, 0.125])], unit="nats")
    assert titles(svg) == ["update 20: 2.5", "update 40: 1.25", "update 1,000: 0.125"]
    assert ET.fromstring(svg).get("aria-label") == "nats over updates: loss ends at 0.125"
    assert {"updates", "nats"} <= set(texts(svg))
    assert "loss" not in texts(svg)  # one line needs no legend


def test_two_lines_are_named():
    svg = draw_lines([Line("a", [1, 2], [1, 2]), Line("b", [1, 2], [2, 1])], unit="score")
    assert titles(svg)[::3] == ["a, update 1: 1", "b, update 2: 1"]
    assert {"a", "b"} <= set(texts(svg))


def test_a_level_is_drawn_and_named():
    svg = draw_lines([Line("mi", [1, 2], [0.1, 0.2])], unit="nats", level=Level(4, "log N = 4"))
    assert "log N = 4" in texts(svg)
    assert "stroke-dasharray" in svg
    assert max(float(each) for each in texts(svg) if each.replace(".", "").isdigit()) >= 4


def test_long_lines_name_evenly_chosen_values_and_both_ends():
    steps = range(1, 1001)
    svg = draw_lines([Line("loss", steps, [float(step) for step in steps])], unit="nats")
    said = titles(svg)
    assert len(said) == MOST_TITLES
    assert (said[0], said[-1]) == ("update 1: 1", "update 1,000: 1,000")


@pytest.mark.parametrize(("lowest", "is_log"), [(0.01, True), (0.0, False)])
def test_a_logarithmic_axis_needs_values_above_zero(lowest, is_log):
    svg = draw_lines([Line("norm", [1, 2, 3], [lowest, 1, 100])], unit="norm", log=True)
    assert ("0.1" in texts(svg)) == is_log
    assert not any("$" in text for text in texts(svg))


def test_numbers_of_an_axis_are_those_of_the_values():
    svg = draw_lines([Line("share", [1, 2], [1.0004, 0.9996])], unit="share")
    numbers = {float(each) for each in texts(svg) if each.startswith(("0.9", "1.0"))}
    assert min(numbers) < 1 < max(numbers)
    assert not any(each.startswith("+") for each in texts(svg))
