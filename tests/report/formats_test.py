"""Numbers as text."""

import pytest

from tvdim_jax.report import formats


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "–"), (3.0, "3"), (12345.6, "12,346"), (1e6, "1,000,000"), (0.0019944, "0.001994"),
     (-2.5, "-2.5"), (4.158883, "4.159")],
)  # fmt: skip
def test_number(value, text):
    assert formats.number(value) == text


def test_shares():
    assert (formats.percent(0.9124), formats.percent(None)) == ("91.2 %", "–")
    assert (formats.round_percent(0.95), formats.round_percent(0.975)) == ("95 %", "97.5 %")
    assert formats.points(0.4421) == "44.2"


@pytest.mark.parametrize(("seconds", "text"), [(0.71, "0.7 s"), (59.9, "59.9 s"), (250, "0:04:10")])
def test_duration(seconds, text):
    assert formats.duration(seconds) == text


def test_a_long_name_keeps_its_end():
    assert formats.shortened("runs/of/28/characters_seed_0") == "runs/of/28/characters_seed_0"
    assert formats.shortened("all/runs/of/28/characters_seed_0") == "…uns/of/28/characters_seed_0"


def test_words():
    assert formats.words("linear_probe") == "linear probe"
    assert formats.words("knn_mean_auc") == "kNN mean AUC"
    assert formats.words("image_to_text_R@10") == "image to text R@10"
