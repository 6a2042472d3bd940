"""Maps as HTML: words that carry their maps, in any script, and nothing that could break out."""

import re

import numpy as np
import pytest

from tvdim_jax.report.maps import MapCard, RegionCard, TextMap, maps_section, region_maps_section
from tvdim_jax.report.pictures import heat, layer_style, veil

PIXELS = np.full((8, 8, 3), 90, np.uint8)
SCORES = np.array([[0.5, -0.25], [0.0, 0.25]])
WORDS = np.array([[[0.0, 0.2], [0.0, 0.0]], [[0.0, 0.0], [-0.4, 0.0]]])


def card(text="a red dog!", spans=((2, 5), (6, 9)), words=WORDS, **changes):
    return MapCard("7.jpg", PIXELS, [TextMap(text, SCORES, spans, words)], **changes)


def test_a_card_shows_its_text_and_each_word_carries_its_map():
    section = maps_section([card(border=0.125)], units="cosine")
    assert (section.id, section.title) == ("maps", "Where texts are seen")
    body = str(section.body)
    text = re.search(r'<p class="text" dir="auto">(.*?)</p>', body, re.DOTALL)[1]
    assert re.sub(r"<[^>]*>", "", text).split() == ["whole", "text", "a", "red", "dog!"]
    whole = layer_style(veil((SCORES + 0.25) / 0.75, 0.125))
    assert body.count(str(whole)) == 2  # at rest, and at the whole text
    for word, share, strength in (("red", WORDS[0] / 0.4, "0.50"), ("dog", WORDS[1] / 0.4, "1.00")):
        style = layer_style(heat(share, 0.125))
        wanted = f'--strength:{strength}">{word}<i class="heat" style="{style}"'
        assert wanted in body
    assert "cosine -0.25 to 0.50; words ±0.40<br>7.jpg" in body
    assert 'alt="7.jpg"' in body


def test_words_of_one_picture_share_a_scale():
    texts = [
        TextMap("dog", SCORES, [(0, 3)], WORDS[:1]),
        TextMap("cat", SCORES, [(0, 3)], WORDS[1:]),
    ]
    body = str(maps_section([MapCard("7.jpg", PIXELS, texts)], units="score").body)
    assert re.findall(r"--strength:([0-9.]*)", body) == ["0.50", "1.00"]


@pytest.mark.parametrize(
    ("text", "spans", "shown"),
    [
        ("<b>&\"' red", ((10, 13),), "&lt;b&gt;&amp;&#34;&#39; "),
        ("كلب أحمر", ((0, 3), (4, 8)), ">كلب<"),
        ("红色", ((0, 1), (1, 2)), ">红<"),
    ],
)
def test_any_text_is_escaped_and_has_its_own_direction(text, spans, shown):
    body = str(maps_section([card(text, spans, WORDS[: len(spans)])], units="cosine").body)
    assert shown in body
    assert "<b>&" not in body
    assert 'dir="auto"><b class="word whole" dir="ltr"' in body  # which says nothing of the text


def test_texts_without_maps_of_words_and_equal_scores():
    flat = TextMap("a dog", np.ones((2, 2)))
    body = str(maps_section([MapCard("7.jpg", PIXELS, [flat])], units="cosine").body)
    assert "; words" not in body
    assert body.count(str(layer_style(veil(np.zeros((2, 2)), 0)))) == 2
    nothing = card(words=np.zeros_like(WORDS))
    assert "--strength:0.00" in str(maps_section([nothing], units="cosine").body)


def test_each_region_carries_its_map_over_the_other_picture():
    scores = np.arange(16.0).reshape(2, 2, 2, 2)
    pair = RegionCard(("1.jpg", "2.jpg"), (PIXELS, PIXELS), scores, 0.1)
    section = region_maps_section([pair])
    body = str(section.body)
    assert section.id == "regions"
    cells = re.findall(r'data-row="(\d)" data-column="(\d)".*?style="(.*?)"', body)
    assert [cell[:2] for cell in cells] == [("1", "1"), ("1", "2"), ("2", "1"), ("2", "2")]
    for place, (_, _, style) in zip(np.ndindex(2, 2), cells, strict=True):
        assert style == layer_style(veil((scores[place] - scores[place].min()) / 3, 0.1))
    assert "scores 0.00 to 15.00 · 1.jpg, 2.jpg" in body
    assert "grid-template:0.5000fr 0.5000fr / 0.5000fr 0.5000fr" in body
