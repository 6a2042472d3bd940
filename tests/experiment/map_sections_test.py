"""Which maps a report shows, and that a model is asked for what it shows."""

import re
from types import SimpleNamespace

import numpy as np
import pytest

from tests.reference.label_table import Table
from tests.reference.tiny_run import tiny_config
from tvdim_jax.experiment import map_sections as module
from tvdim_jax.experiment.inference import WordScores
from tvdim_jax.experiment.map_sections import map_border, map_sections

CAPTIONS = [[], ["a dog", "two dogs", "three"], *[["a cat"]] * 9]
# Nearest to 0 is 2, to 1 is 3, and back.
FEATURES = np.array([[1, 0], [0, 1], [1, 0.1], [0.1, 1], *[[-1, -1]] * 7], np.float32)


class Model:
    def __init__(self, run):
        self.asked = run.asked

    def word_scores(self, image, text):
        self.asked.append((int(image[0, 0, 0]), text))
        of_text = np.arange(49.0).reshape(7, 7)
        return WordScores(text, ("a",), ((0, 1),), np.ones((1, 7, 7), np.float32), of_text)

    def region_scores(self, first, second):
        self.asked.append((int(first[0, 0, 0]), int(second[0, 0, 0])))
        return np.arange(625.0).reshape(5, 5, 5, 5)


@pytest.fixture
def sections_of(monkeypatch):
    monkeypatch.setattr(module, "TrainedModel", Model)

    def make(captions=CAPTIONS, **changes):
        run = SimpleNamespace(config=tiny_config(**changes), asked=[])
        rows = list(range(len(captions)))
        found = map_sections(
            run, Table(len(captions), captions=captions), rows, FEATURES[: len(rows)]
        )
        return found, run.asked

    return make


def test_maps_of_images_with_texts_and_regions_of_neighbours(sections_of):
    (maps, regions), asked = sections_of()
    assert (maps.id, regions.id) == ("maps", "regions")
    assert asked[:3] == [(1, "a dog"), (1, "two dogs"), (2, "a cat")]
    assert re.findall(r'data-picture="(\d+).jpg"', maps.body) == [*"12345678"]
    assert asked[-4:] == [(0, 2), (1, 3), (2, 0), (3, 1)]
    assert "cosine 0.00 to 48.00; words ±1.00" in maps.body


@pytest.mark.parametrize(
    ("changes", "ids"),
    [
        ({"objective__name": "amdim"}, ["regions"]),
        ({"objective__scales": "(1,5)"}, ["regions"]),
        ({"objective__image_loss": False}, ["maps"]),
        ({"objective__name": "lmi"}, ["maps"]),
        ({"objective__name": "clip", "objective__pair_loss": "info_nce"}, []),
    ],
)
def test_only_what_was_trained(sections_of, changes, ids):
    assert [section.id for section in sections_of(**changes)[0]] == ids


def test_no_texts_and_one_image(sections_of):
    assert [section.id for section in sections_of([[], []])[0]] == ["regions"]
    assert sections_of([[]])[0] == []


def test_the_border_of_regions_that_do_not_pad():
    """Seven squares of a quarter of the side, one each eighth; a padding encoder tiles."""
    assert map_border(tiny_config(), 7) == pytest.approx(1 / 16)
    vit = tiny_config(model__image="vit_tiny", augment="captions", objective__name="clip",
                      objective__pair_loss="info_nce")  # fmt: skip
    assert map_border(vit, 4) == pytest.approx(0, abs=1e-12)
