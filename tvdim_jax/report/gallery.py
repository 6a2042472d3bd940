"""Galleries: what texts and images find, the neighbours of images, negatives that nearly match."""

import re
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from markupsafe import Markup

from tvdim_jax.report.page import Section, render
from tvdim_jax.report.pictures import SMALL, picture_uri

NUM_SHOWN, NUM_NEAR = 5, 8  # candidates of a query, neighbours of an image


class Example(NamedTuple):
    """An image of the set.

    Attributes:
      name: for people.
      pixels: uint8 RGB `[H, W, 3]`.
      text: its text; "" where it has none.
      labels: names of its classes, possibly none.
    """

    name: str
    pixels: np.ndarray
    text: str = ""
    labels: tuple[str, ...] = ()


def own_places(scores: np.ndarray) -> np.ndarray:
    """Place of the own candidate of each query, from 1; who ties with it stands before it.

    Args:
      scores: `[n, n]`, query by candidate, the own ones on the diagonal.

    Returns:
      int `[n]`.
    """
    return (scores >= np.diagonal(scores)[:, None]).sum(axis=1)


def choose_queries(places: np.ndarray, number: int, seed: int = 0) -> np.ndarray:
    """Queries to show: half of them right at place 1 and half wrong, as far as there are any.

    Args:
      places: `[n]`, of `own_places`.
      number: of queries, at most.
      seed: draws which.

    Returns:
      int rows, the right ones first.
    """
    order = np.random.default_rng(seed).permutation(len(places))
    right, wrong = order[places[order] == 1], order[places[order] > 1]
    num_right = min(len(right), max(number // 2, number - len(wrong)))
    return np.concatenate([right[:num_right], wrong[: number - num_right]])


def retrieval_section(
    examples: Sequence[Example], scores: np.ndarray, *, units: str, number: int = 6
) -> Section:
    """Some texts with the images that they find, and images with texts, right and wrong ones.

    Args:
      examples: n images, each with a text.
      scores: `[n, n]`, image by text, higher is nearer.
      units: of the scores, such as "cosine".
      number: of queries each way, at most.
    """
    of_texts, of_images = own_places(scores.T), own_places(scores)
    body = render(
        "retrieval.html",
        num=len(examples),
        units=units,
        right=[int((places == 1).sum()) for places in (of_texts, of_images)],
        texts=[
            _query(examples, scores.T[row], int(row), int(of_texts[row]))
            for row in choose_queries(of_texts, number)
        ],
        images=[
            _query(examples, scores[row], int(row), int(of_images[row]))
            for row in choose_queries(of_images, number)
        ],
    )
    return Section("retrieval", "What finds what", body)


def neighbours_section(
    examples: Sequence[Example], features: np.ndarray, *, number: int = 6
) -> Section:
    """Some images with those whose features are nearest by cosine, without themselves.

    Args:
      examples: n images, 2 at least.
      features: `[n, D]`.
      number: of queries, at most.
    """
    cosines = cosines_of(features)
    np.fill_diagonal(cosines, -np.inf)
    chosen = np.random.default_rng(0).permutation(len(examples))[:number]
    queries = [
        {
            "asked": _shown(examples[row]),
            "found": [
                _shown(examples[other]) | {"score": cosines[row, other]}
                for other in _best(cosines[row], min(NUM_NEAR, len(examples) - 1))
            ],
        }
        for row in chosen
    ]
    body = render("neighbours.html", queries=queries, num=len(examples))
    return Section("neighbours", "Nearest neighbours", body)


def false_negatives_section(
    examples: Sequence[Example],
    scores: np.ndarray,
    is_negative: np.ndarray,
    *,
    units: str,
    number: int = 6,
) -> Section:
    """The negatives that score highest: an image, and another image's text that may describe it.

    Args:
      examples: n images, each with a text.
      scores: `[n, n]`, image by text.
      is_negative: bool `[n, n]`, True = training would push the pair apart.
      units: of the scores.
      number: of pairs, at most; each image and each text is shown in one of them.
    """
    pairs = [
        {
            "image": _shown(examples[row]),
            "other": _shown(examples[column]),
            "score": scores[row, column],
            "own_score": scores[row, row],
            "common": common_words(examples[row].text, examples[column].text),
        }
        for row, column in best_pairs(np.where(is_negative, scores, -np.inf), number)
    ]
    above = scores >= np.diagonal(scores)[:, None]
    share = float((above & is_negative).sum() / max(1, is_negative.sum()))
    body = render(
        "false_negatives.html",
        pairs=pairs,
        units=units,
        num=len(examples),
        num_negatives=int(is_negative.sum()),
        share=share,
    )
    return Section("false-negatives", "Negatives that nearly match", body)


def best_pairs(scores: np.ndarray, number: int) -> list[tuple[int, int]]:
    """(row, column) of the highest scores, falling; no row or column twice, none at -inf."""
    found: list[tuple[int, int]] = []
    rows, columns = set[int](), set[int]()
    for flat in np.argsort(-scores, axis=None, kind="stable"):
        row, column = divmod(int(flat), scores.shape[1])
        if len(found) == number or np.isneginf(scores[row, column]):
            break
        if row not in rows and column not in columns:
            found.append((row, column))
            rows.add(row)
            columns.add(column)
    return found


def common_words(text: str, other: str) -> float:
    """Share of the different words of two texts that both have, 0 to 1."""
    words = [set(re.findall(r"\w+", each.casefold())) for each in (text, other)]
    return len(words[0] & words[1]) / max(1, len(words[0] | words[1]))


def cosines_of(features: np.ndarray) -> np.ndarray:
    """Cosines `[n, n]` of the rows; a row of zeros has 0 with all."""
    length = np.linalg.norm(features, axis=1, keepdims=True)
    unit = features / np.where(length > 0, length, 1)
    return unit @ unit.T


def _query(
    examples: Sequence[Example], scores: np.ndarray, row: int, place: int
) -> dict[str, object]:
    """A query with its best candidates, and its own one where that is not among them."""
    best = _best(scores, min(NUM_SHOWN, len(examples)))
    found = [
        _shown(examples[each]) | {"score": scores[each], "right": each == row} for each in best
    ]
    missed = _shown(examples[row]) | {"score": scores[row]}
    return {
        "asked": _shown(examples[row]),
        "found": found,
        "place": place,
        "missed": None if row in best else missed,
    }


def _best(scores: np.ndarray, number: int) -> list[int]:
    order: list[int] = np.argsort(-scores, kind="stable")[:number].tolist()
    return order


def _shown(example: Example) -> dict[str, object]:
    return {
        "name": example.name,
        "picture": Markup('<img src="{}" alt="{}"{}>').format(
            picture_uri(example.pixels, SMALL),
            example.text or example.name,
            Markup(' class="tiny"') if max(example.pixels.shape) <= SMALL // 2 else "",
        ),
        "text": example.text,
        "labels": ", ".join(example.labels),
    }
