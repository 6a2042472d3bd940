"""Maps over photographs: of texts and their words, and of the regions of another picture."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from markupsafe import Markup

from tvdim_jax.report.page import Section, render
from tvdim_jax.report.pictures import LARGE, Layer, heat, layer_style, picture_uri, veil


class TextMap(NamedTuple):
    """Where a text is seen.

    Attributes:
      text: as people wrote it.
      scores: `[h, w]`, finite, in the units of the critic.
      spans: (start, end) of T words in the text, in their order.
      word_scores: `[T, h, w]`, what each word adds to the scores; None where that is not known.
    """

    text: str
    scores: np.ndarray
    spans: Sequence[tuple[int, int]] = ()
    word_scores: np.ndarray | None = None


class MapCard(NamedTuple):
    """A picture and the maps of its texts.

    Attributes:
      name: of the picture, for people.
      pixels: uint8 RGB `[S, S, 3]`, what the encoder saw.
      texts: one at least.
      border: share of the side that lies outside the maps at each end; 0 where regions tile it.
    """

    name: str
    pixels: np.ndarray
    texts: Sequence[TextMap]
    border: float = 0.0


class RegionCard(NamedTuple):
    """Two pictures and what each region of the first one finds in the second.

    Attributes:
      names: of both pictures.
      pixels: of both, uint8 RGB `[S, S, 3]`.
      scores: `[h, w, h', w']`, finite.
      border: see `MapCard`.
    """

    names: tuple[str, str]
    pixels: tuple[np.ndarray, np.ndarray]
    scores: np.ndarray
    border: float = 0.0


class _Piece(NamedTuple):
    """A run of characters of a text; a word has a heat map and a share of the strongest one."""

    text: str
    heat: Markup | None
    strength: float


def maps_section(cards: Sequence[MapCard], *, units: str) -> Section:
    """Pictures over which the map of each text lies, and of each word that is pointed at.

    Args:
      cards: one a picture.
      units: of the scores, such as "cosine".
    """
    return Section(
        "maps", "Where texts are seen", render("maps.html", cards=map(_card, cards), units=units)
    )


def region_maps_section(cards: Sequence[RegionCard]) -> Section:
    """Pairs of pictures: pointing at a region of the left one shows its map over the right one."""
    shown = [
        {
            "names": card.names,
            "pictures": [picture_uri(each, LARGE) for each in card.pixels],
            "side": card.pixels[0].shape[0],
            "cells": _cells(card),
            "rows": _spans(card.scores.shape[0], card.border),
            "columns": _spans(card.scores.shape[1], card.border),
            "low": card.scores.min(),
            "high": card.scores.max(),
        }
        for card in cards
    ]
    return Section("regions", "Regions that match", render("region_maps.html", cards=shown))


def text_layer(text: TextMap, border: float) -> Layer:
    """What lies over a picture to show where a text is seen: light on its best regions.

    Args:
      text: of the picture.
      border: see `MapCard`.
    """
    return veil(_between(text.scores), border)


def _card(card: MapCard) -> dict[str, object]:
    words = [each.word_scores for each in card.texts if each.word_scores is not None]
    strongest = max((float(np.abs(each).max(initial=0)) for each in words), default=0.0)
    return {
        "name": card.name,
        "picture": picture_uri(card.pixels, 2 * LARGE),
        "side": card.pixels.shape[0],
        "strongest": strongest,
        "texts": [
            {
                "heat": layer_style(text_layer(each, card.border)),
                "low": each.scores.min(),
                "high": each.scores.max(),
                "pieces": _pieces(each, strongest, card.border),
            }
            for each in card.texts
        ],
    }


def _pieces(text: TextMap, strongest: float, border: float) -> list[_Piece]:
    """The text cut at its words; all words of a card share one scale."""
    pieces, done = [], 0
    scores = () if text.word_scores is None else text.word_scores
    for (start, end), each in zip(text.spans, scores, strict=True):
        share = each / (strongest or 1.0)
        style = layer_style(heat(share, border))
        pieces += [_Piece(text.text[done:start], None, 0.0)] * (done < start)
        pieces.append(_Piece(text.text[start:end], style, float(np.abs(share).max())))
        done = end
    return pieces + [_Piece(text.text[done:], None, 0.0)] * (done < len(text.text))


def _cells(card: RegionCard) -> list[dict[str, object]]:
    """The regions of the left picture and their maps."""
    height, width = card.scores.shape[:2]
    return [
        {
            "row": row + 1,
            "column": column + 1,
            "heat": layer_style(veil(_between(card.scores[row, column]), card.border)),
            "best": card.scores[row, column].max(),
        }
        for row in range(height)
        for column in range(width)
    ]


def _spans(number: int, border: float) -> str:
    """Sizes of rows or columns of regions that together cover the picture, as CSS."""
    sizes = np.full(number, (1 - 2 * border) / number)
    sizes[[0, -1]] += border
    return " ".join(f"{size:.4f}fr" for size in sizes)


def _between(scores: np.ndarray) -> np.ndarray:
    """The scores as shares, 0 the lowest and 1 the highest; all 0 where they are equal."""
    span = scores.max() - scores.min()
    return (scores - scores.min()) / (span or 1.0)
