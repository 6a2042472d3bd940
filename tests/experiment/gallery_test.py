"""The galleries of a report: what a run has something for, on encoders that are tables."""

from types import SimpleNamespace

import numpy as np
import pytest

from tests.reference.label_table import ENCODERS, TOKENIZER, Table
from tests.reference.tiny_run import tiny_config
from tvdim_jax.experiment import gallery
from tvdim_jax.experiment.data import Splits
from tvdim_jax.experiment.gallery import gallery_sections
from tvdim_jax.experiment.tasks.critics import CriticScores

# The text of row n is its level, as `ENCODERS` read it; the last one has none.
CAPTIONS = [*[[f"{n // 10} {n % 10}"] for n in range(19)], []]
LABELS = [["even"], ["odd"]] * 10
LMI = {"objective__name": "lmi"}


@pytest.fixture
def sections_of(monkeypatch):
    """Section id -> HTML of the galleries of a source."""

    def make(source, encoders=ENCODERS, **changes):
        run = SimpleNamespace(
            config=tiny_config(**changes), tokenizer=TOKENIZER, model=None, params=0, variables=0
        )
        shown = SimpleNamespace(id="maps", body="")
        for name, value in {
            "make_encoders": encoders,
            "map_sections": [shown],
        }.items():
            monkeypatch.setattr(gallery, name, lambda *_, value=value: value)
        return {
            section.id: str(section.body)
            for section in gallery_sections(run, Splits(source, source))
        }

    return make


def test_a_run_with_texts_and_labels(sections_of):
    found = sections_of(Table(20, captions=CAPTIONS, labels=LABELS))
    assert [*found] == ["maps", "retrieval", "false-negatives", "neighbours", "features"]
    words = " ".join(found["retrieval"].split())
    # Images and texts of a level have one direction, so that all are right.
    assert "Among 19 test images" in words
    assert "19 texts find their image first, and 19 images their text" in words
    assert "1.00" in words
    assert "Of the 342 pairs" in found["false-negatives"]
    assert "out of 20 of the test part" in found["neighbours"]
    assert "20 test images, coloured by label" in " ".join(found["features"].split())


def test_no_texts_no_labels_and_an_image_that_cannot_be_read(sections_of):
    found = sections_of(Table(20, bad=(3,)), objective__name="amdim")
    assert [*found] == ["maps", "neighbours", "features"]
    assert "out of 19 of the test part" in found["neighbours"]
    assert "coloured" not in found["features"]
    assert [*sections_of(Table(20))] == ["maps", "neighbours", "features"]
    assert [*sections_of(Table(1))] == ["maps"]


def test_no_more_than_its_share_of_a_large_set(sections_of, monkeypatch):
    monkeypatch.setattr(gallery, "NUM_SCATTER", 12)
    monkeypatch.setattr(gallery, "NUM_GALLERY", 5)
    found = sections_of(Table(20, captions=CAPTIONS))
    assert "Among 5 test images" in found["retrieval"]
    assert "of 12 test images" in found["features"]


def test_equal_texts_and_images_of_one_study_are_no_negatives(sections_of):
    class Studies(Table):
        def study_id(self, row):
            return min(row, 2)  # rows 2, 3 and 4 are of one study

    captions = [["0 0"], ["0 0"], ["0 2"], ["0 3"], ["0 4"]]
    # Of 20 pairs, (0, 1) and (1, 0) have equal texts, and six are within the study.
    assert "Of the 12 pairs" in sections_of(Studies(5, captions=captions))["false-negatives"]


def test_reports_of_lmi_meet_images_by_its_critics(sections_of, monkeypatch):
    """Scores come in tiles of two, the last one filled up."""
    asked = []

    def score(i, j):
        asked.append((i.size, j.size))
        return 10.0 * (i[:, None] == j[None]) + j[None] / 100

    tiles = CriticScores({"global": None, "sum": score}, 2)
    monkeypatch.setattr(gallery, "critic_scores", lambda *_: tiles)
    told = []
    monkeypatch.setattr(gallery, "encode_reports", lambda _, reports: told.extend(reports))
    captions = [["No effusion. Heart is normal."]] * 5
    encoders = ENCODERS._replace(critics={"global": 0, "local": 0})
    found = sections_of(Table(5, captions=captions), encoders, **LMI)
    assert told == [["No effusion.", "Heart is normal."]] * 5
    assert asked == [(2, 2)] * 9
    words = " ".join(found["retrieval"].split())
    assert "5 texts find their image first, and 5 images their text" in words
    assert "numbers are scores" in words
    assert "10.04" in words


def test_a_finished_run_has_them_in_its_report(tiny_run):
    page = (tiny_run[0] / "report.html").read_text(encoding="utf-8")
    for name in ("maps", "regions", "retrieval", "false-negatives", "neighbours", "features"):
        assert f'<section id="{name}">' in page
    assert 50_000 < len(page) < 10_000_000


@pytest.mark.parametrize(("number", "wanted"), [(16, ["PCA"]), (17, ["PCA", "UMAP"])])
def test_umap_where_it_is_installed(monkeypatch, number, wanted):
    monkeypatch.setattr(
        gallery, "umap_points", lambda x: gallery.pca_points(x)._replace(method="UMAP")
    )
    features = np.random.default_rng(0).normal(size=(number, 3))
    assert [plot.method for plot in gallery._plots(features)] == wanted
