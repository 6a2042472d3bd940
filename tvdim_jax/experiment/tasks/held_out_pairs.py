"""Images and texts that belong together, each text once, and the critic that a run trained."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from tvdim_jax.config import uses_embeddings, uses_sentences
from tvdim_jax.data.eval_batches import caption_table
from tvdim_jax.data.reports import report_sentences
from tvdim_jax.data.sources.base import Source
from tvdim_jax.data.text_ops import text_id
from tvdim_jax.evals.features import extract
from tvdim_jax.evals.knn import unit_rows
from tvdim_jax.evals.score_tiles import ScoreTile
from tvdim_jax.experiment.encoders import GLOBAL, Encoders, comparable, text_batches
from tvdim_jax.experiment.tasks.base import Context, Images
from tvdim_jax.experiment.tasks.critics import critic_scores, encode_reports
from tvdim_jax.objectives.temperature import bounded_temperature


class HeldOutPairs(NamedTuple):
    """n pairs; no two have one text, as training tells texts apart: other pairs are true negatives.

    Attributes:
      x: float32 `[n, D]`, images; of clip and srcl their embeddings.
      y: float32 `[n, D']`, texts; of lmi the mean of the report's sentences.
      score: logits of the critic that the run trained.
      critic: what it is, in words.
    """

    x: np.ndarray
    y: np.ndarray
    score: ScoreTile
    critic: str


def held_out_pairs(context: Context, images: Images, source: Source) -> HeldOutPairs | None:
    """The pairs of one part, each image with its first text; None where there is no text.

    Args:
      context: of a run with text.
      images: of the part, with GLOBAL, and EMBEDDING or LOCAL_MAP where the encoder has them.
      source: of the part.
    """
    if uses_sentences(context.config):
        return _images_and_reports(context, images, source)
    encoders, tokenizer = context.encoders, context.tokenizer
    if encoders is None or encoders.text is None or tokenizer is None:
        raise ValueError("pairs need a text encoder; leave the task out")
    texts, text_rows = caption_table(source, images.rows.tolist())
    rows, first = np.unique(text_rows, return_index=True)
    kept = _first_of_each([text_id(tokenizer.prepared(texts[place])) for place in first])
    if not kept:
        return None
    chosen = [texts[first[place]] for place in kept]
    y, _ = extract(encoders.text, text_batches(tokenizer, chosen, encoders.batch_size))
    x = np.asarray(comparable(images.features))[np.searchsorted(images.rows, rows[kept])]
    temperature = _temperature(context, encoders)
    unit_x, unit_y = unit_rows(x), unit_rows(y)

    def score(i: np.ndarray, j: np.ndarray) -> np.ndarray:
        scores: np.ndarray = unit_x[i] @ unit_y[j].T / temperature
        return scores

    return HeldOutPairs(x, y, score, f"cosine / {temperature:.3g}")


def _temperature(context: Context, encoders: Encoders) -> float:
    """Of clip and srcl the learned one, else that of the config."""
    if uses_embeddings(context.config) and encoders.weights is not None:
        return float(bounded_temperature(encoders.weights.params["temperature"]))
    return float(context.config.objective.temperature)


def _images_and_reports(context: Context, images: Images, source: Source) -> HeldOutPairs | None:
    most = context.config.data.max_sentences
    said = [report_sentences(source.captions(row), most) for row in images.rows.tolist()]
    numbers = [tuple(map(text_id, sentences)) for sentences in said]
    kept = [place for place in _first_of_each(numbers) if said[place]]
    if not kept:
        return None
    reports = encode_reports(context, [said[place] for place in kept])
    num_said = reports.said.sum(axis=1)[:, None]
    y = np.where(reports.said[:, :, None], reports.sentences, 0).sum(axis=1) / num_said
    features = {kind: each[kept] for kind, each in images.features.items()}
    critics = context.encoders.critics if context.encoders else {}
    scores, block = critic_scores(context.config, critics, features, reports)
    name = "sum" if "sum" in scores else next(iter(scores))
    said_of = "critics, their sum" if name == "sum" else f"{name} critic"
    return HeldOutPairs(features[GLOBAL], y, _in_tiles(scores[name], block), f"trained {said_of}")


def _first_of_each(texts: Sequence[Any]) -> list[int]:
    """Places of the texts that did not occur before."""
    first: Mapping[Any, int] = {text: n for n, text in reversed(list(enumerate(texts)))}
    return sorted(first.values())


def _in_tiles(score: ScoreTile, block: int) -> ScoreTile:
    """The same scores in tiles of `block` images and texts, whose memory is small."""

    def scores(i: np.ndarray, j: np.ndarray) -> np.ndarray:
        rows = (i[start : start + block] for start in range(0, len(i), block))
        columns = [j[start : start + block] for start in range(0, len(j), block)]
        return np.block([[np.asarray(score(row, column)) for column in columns] for row in rows])

    return scores
