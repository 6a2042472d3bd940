"""What is on the figure of swapped captions."""

from itertools import pairwise

import pytest

from tvdim_jax.report.noise import Panel, noise_figure
from tvdim_jax.report.style import drawing, series

RANKING = {0: [80.0, 82.0], 20: [70.0], 40: []}
PANELS = [
    Panel("probe, %", {"ranking": RANKING, "info_nce": {0: [60.0], 20: [61.0]}}, {"pixels": 33.0}),
    Panel("R@10, %", {"info_nce": {0: [9.0], 20: [8.0]}}, {}),
]


@drawing()
def drawn(panels):
    return noise_figure(panels, "a title")


def test_means_marks_and_lines():
    figure = drawn(PANELS)
    first, second = figure.axes
    ranking, info_nce, line = first.get_lines()
    assert ranking.get_xydata().tolist() == [[0, 81], [20, 70]]
    assert ranking.get_color() == series(0)
    assert list(line.get_ydata()) == [33.0, 33.0]
    assert [text.get_text() for text in first.texts] == ["pixels"]
    assert first.collections[0].get_offsets().tolist() == [[0, 80], [0, 82], [20, 70]]
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["ranking", "info_nce"]
    assert first.get_ylabel() == "probe, %"
    assert list(first.get_xticks()) == [0, 20, 40]
    (alone,) = second.get_lines()  # the colour that it has beside the others
    assert alone.get_color() == info_nce.get_color() == series(1)
    assert figure.get_suptitle() == "a title"


def test_names_of_lines_that_lie_close_share_a_text():
    lines = {"pixels": 33.0, "chance": 12.5, "random": 13.0}
    figure = drawn([PANELS[0]._replace(lines=lines)])
    texts = [(text.get_position()[1], text.get_text()) for text in figure.axes[0].texts]
    assert texts == [(12.75, "random\nchance"), (33.0, "pixels")]
    assert len(figure.axes[0].get_lines()) == 2 + 3


@pytest.mark.parametrize("pixels", [16.0, 18.0, 22.0])
def test_names_of_lines_never_overlap(pixels):
    lines = {"chance": 12.5, "random": 14.0, "pixels": pixels, "more": 40.0}
    figure = drawn([PANELS[0]._replace(lines=lines)])
    figure.draw_without_rendering()
    boxes = [text.get_window_extent() for text in figure.axes[0].texts]
    assert all(low.y1 <= high.y0 for low, high in pairwise(boxes))
    assert sum(text.get_text().count("\n") + 1 for text in figure.axes[0].texts) == 4


def test_more_panels_than_a_row_holds():
    figure = drawn(PANELS * 2)
    assert [axis.axison for axis in figure.axes] == [True] * 4 + [False] * 2
