"""Inline SVG: colours by variable, unique ids, text as text, equal bytes."""

import re
from xml.etree import ElementTree as ET

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from PIL import Image

from tvdim_jax.report.figures import figure_svg, write_both_themes
from tvdim_jax.report.style import COLOURS, colour, drawing, series


@drawing()
def drawn(label="$x$ <b> 猫"):
    figure = Figure(figsize=(4, 2))
    axis = figure.subplots()
    axis.plot([0, 1, 2], [1, 3, 2], color=series(0))
    axis.plot([0, 1, 2], [1, 3, 2], "o", color=series(1), gid="points-loss")
    axis.imshow(np.eye(2), extent=(0, 1, 0, 1))
    axis.set_title(label)
    axis.set_ylim(0, 4)
    return figure


def ids(svg):
    return [each.get("id") for each in ET.fromstring(svg).iter() if each.get("id")]


def test_colours_of_the_page_are_variables_and_others_are_not():
    svg = figure_svg(drawn(), "a curve")
    assert "stroke: var(--blue)" in svg
    assert "var(--ink)" in svg
    for light, _ in COLOURS.values():
        assert light not in svg


def test_a_colour_in_a_text_stays():
    assert ">#0072b2<" in figure_svg(drawn("#0072b2"), "a curve")


def test_text_is_text_whatever_it_is():
    root = ET.fromstring(figure_svg(drawn(), "a curve"))
    assert "$x$ <b> 猫" in [each.text for each in root.iter("text")]


def test_the_root_says_what_it_shows_and_takes_its_size_from_the_page():
    root = ET.fromstring(figure_svg(drawn(), 'a "curve" & <more>'))
    assert root.get("aria-label") == 'a "curve" & <more>'
    assert (root.get("role"), root.get("viewBox")) == ("img", "0 0 288 144")
    assert root.get("width") is None
    assert root.find("metadata") is None


def test_ids_are_unique_on_a_page_and_references_reach_them():
    svgs = [figure_svg(drawn(label), label) for label in ("one", "two")]
    both = ids(svgs[0]) + ids(svgs[1])
    assert len(both) == len(set(both)) > 20
    for svg in svgs:
        reached = re.findall(r'(?:href="|url\()#([^")]+)', svg)
        assert len(reached) > 3
        assert set(reached) <= set(ids(svg))


def test_equal_figures_give_equal_bytes():
    assert figure_svg(drawn(), "a") == figure_svg(drawn(), "a")


def test_titles_of_markers():
    svg = figure_svg(drawn(), "a", {"points-loss": ["step 0: 1", "<step> 1: 3", "step 2: 2"]})
    (group,) = (each for each in ET.fromstring(svg).iter("g") if each.get("class") == "points")
    markers = list(group.iter("use"))
    assert [each.findtext("title") for each in markers] == ["step 0: 1", "<step> 1: 3", "step 2: 2"]


def test_titles_must_be_as_many_as_markers():
    with pytest.raises(ValueError, match="shorter"):
        figure_svg(drawn(), "a", {"points-loss": ["one"]})


def test_nothing_of_the_settings_stays():
    before = dict(mpl.rcParams)
    figure_svg(drawn(), "a")
    assert dict(mpl.rcParams) == before


def test_pictures_of_both_themes(tmp_path):
    asked = []

    def draw():
        asked.append((colour("ink"), mpl.rcParams["text.color"]))
        return Figure(figsize=(1, 0.5))

    write_both_themes(draw, tmp_path / "new" / "curve.png")
    assert asked == [(each, each) for each in COLOURS["ink"]]
    for name, card in zip(("curve", "curve_dark"), COLOURS["card"], strict=True):
        with Image.open(tmp_path / "new" / f"{name}.png") as found:
            assert found.size == (200, 100)
            assert found.convert("RGB").getpixel((0, 0)) == tuple(
                round(255 * each) for each in to_rgb(card)
            )
    assert colour("ink") == COLOURS["ink"][0]
