"""The panel of bounds: figure, ceiling, flag, and what is missing."""

from tests.reference.report_folder import Elements, mi_record
from tvdim_jax.report.information import information_section


def page(records, *, has_text=True):
    return Elements(information_section(records, run="runs/x", has_text=has_text).body)


def test_bounds_beside_random_initialisation_under_the_ceiling():
    (figure,) = page([mi_record()]).of("svg")
    said = figure["aria-label"]
    assert "trained, InfoNCE: 2 (1.9 to 2.1)" in said
    assert "random initialisation, InfoNCE: 0.1 (0 to 0.2)" in said
    text = page([mi_record()]).text
    assert "log 512 = 6.24, the ceiling of InfoNCE" in text
    assert "1,024 pairs in 2 tables of 512; bars: 95 % of 500 bootstrap resamples." in text
    assert "Not finite: Donsker-Varadhan." in text
    assert "below its ceiling" in text
    assert "saturated" not in text


def test_saturated():
    assert "saturated" in page([mi_record(saturated=True)]).text


def test_what_is_missing():
    assert "tvdim evaluate runs/x --tasks mi" in page([]).text
    assert "has no texts" in page([], has_text=False).text
    without = {**mi_record(), "panel": None}
    assert "no pairs of an image and a text" in page([without]).text
