"""The maps of a report: where the run sees texts, words, and regions of other images."""

from collections.abc import Sequence

import numpy as np
from ml_collections import ConfigDict

from tvdim_jax.config import uses_sentences, uses_text
from tvdim_jax.data.sources.base import Source
from tvdim_jax.evals.knn import nearest
from tvdim_jax.evals.pointing import region_centres
from tvdim_jax.experiment.encoders import local_map_height, trains_local_scores
from tvdim_jax.experiment.inference import TrainedModel, TrainedRun
from tvdim_jax.experiment.region_critics import (
    REGION_PAIR_HEIGHT,
    trains_region_pairs,
)
from tvdim_jax.experiment.shown_images import picture_of, texts_of
from tvdim_jax.experiment.views import field_share, seen_part
from tvdim_jax.report import Section
from tvdim_jax.report.maps import (
    MapCard,
    RegionCard,
    TextMap,
    maps_section,
    region_maps_section,
)

NUM_CARDS, NUM_TEXTS, NUM_PAIRS = 8, 2, 4  # pictures, texts of each, pairs of pictures


def map_sections(
    run: TrainedRun, source: Source, rows: list[int], features: np.ndarray
) -> list[Section]:
    """Maps of texts, and of regions of images over their nearest neighbours.

    Args:
      run: its scores of places are shown, those that it trained.
      source: of the images.
      rows: n readable images.
      features: `[n, D]`, which say who is near.
    """
    model, sections = TrainedModel(run), []
    told = [row for row in rows if texts_of(run.config, source, row)]
    if uses_text(run.config) and told and trains_local_scores(run.config):
        cards = [
            map_card(run.config, model, source, row, texts_of(run.config, source, row)[:NUM_TEXTS])
            for row in told[:NUM_CARDS]
        ]
        units = "score" if uses_sentences(run.config) else "cosine"
        sections.append(maps_section(cards, units=units))
    if len(rows) > 1 and trains_region_pairs(run.config):
        _, index = nearest(features[:NUM_PAIRS], features, 2)
        pairs = [(n, others[others != n][0]) for n, others in enumerate(index)]
        cards_of_pairs = [
            _region_card(run.config, model, source, (rows[n], rows[other])) for n, other in pairs
        ]
        sections.append(region_maps_section(cards_of_pairs))
    return sections


def map_card(
    config: ConfigDict, model: TrainedModel, source: Source, row: int, texts: Sequence[str]
) -> MapCard:
    """An image of a source and where a run sees some texts in it.

    Args:
      config: of the run.
      model: of the run, see `TrainedModel.local_scores`.
      source: has the image.
      row: of the image.
      texts: one at least, of one word or more each.
    """
    image = source.read_image(row)
    words = [model.word_scores(image, text) for text in texts]
    maps = [TextMap(each.text, each.of_text, each.spans, each.scores) for each in words]
    border = map_border(config, local_map_height(config))
    return MapCard(
        source.example_id(row), seen_part(config.augment, picture_of(source, row)), maps, border
    )


def _region_card(
    config: ConfigDict, model: TrainedModel, source: Source, pair: tuple[int, int]
) -> RegionCard:
    first, second = (source.read_image(row) for row in pair)
    shown = [seen_part(config.augment, picture_of(source, row)) for row in pair]
    return RegionCard(
        (source.example_id(pair[0]), source.example_id(pair[1])),
        (shown[0], shown[1]),
        model.region_scores(first, second),
        map_border(config, REGION_PAIR_HEIGHT),
    )


def map_border(config: ConfigDict, height: int) -> float:
    """Share of a picture's side outside the squares around the centres of its regions.

    Args:
      config: of the run, whose augmentation decides what the encoder sees.
      height: of the map of regions; see `region_centres`.
    """
    centres = region_centres(height, 1, field_share(config, height))
    return float(max(0.0, centres[0] - (centres[1] - centres[0]) / 2))
