"""What a run makes of test images, as sections of its report: maps, galleries, features."""

from typing import NamedTuple

import numpy as np

from tvdim_jax.config import compares_texts, reads_grey, uses_sentences
from tvdim_jax.data.text_ops import text_id
from tvdim_jax.evals.features import extract
from tvdim_jax.evals.score_tiles import blocks_of
from tvdim_jax.experiment.data import Splits
from tvdim_jax.experiment.encoders import (
    EMBEDDING,
    GLOBAL,
    LOCAL_MAP,
    comparable,
    make_encoders,
    text_batches,
)
from tvdim_jax.experiment.evaluation import read_images
from tvdim_jax.experiment.inference import TrainedRun
from tvdim_jax.experiment.map_sections import map_sections
from tvdim_jax.experiment.shown_images import picture_of, texts_of
from tvdim_jax.experiment.tasks.base import Context, Images
from tvdim_jax.experiment.tasks.critics import critic_scores, encode_reports
from tvdim_jax.report import Section
from tvdim_jax.report.gallery import (
    Example,
    cosines_of,
    false_negatives_section,
    neighbours_section,
    retrieval_section,
)
from tvdim_jax.report.scatter import Points, pca_points, scatter_section, umap_points

NUM_SCATTER, NUM_GALLERY = 1_000, 256  # first test images that are read, and that meet texts
_FEWEST_OF_UMAP = 17  # its neighbourhoods are of 15


class _Scores(NamedTuple):
    """Images by texts `[n, n]`, each image with its own on the diagonal, and their unit."""

    scores: np.ndarray
    units: str


def gallery_sections(run: TrainedRun, splits: Splits) -> list[Section]:
    """The sections of a run, those that its objective and its set have something for.

    Args:
      run: from memory or from a checkpoint.
      splits: its sources.

    Raises:
      ValueError: no test image can be read.
    """
    images, context = _read(run, splits)
    source, rows = splits.test, context.test.rows.tolist()
    examples = [_example(run, splits, row) for row in rows]
    features = comparable(context.test.features)
    sections = map_sections(run, source, rows, features)
    told = np.flatnonzero([bool(example.text) for example in examples])
    if compares_texts(run.config) and len(told) > 1:
        sections += _pair_sections(context, [examples[place] for place in told], told)
    if len(rows) > 1:
        sections.append(neighbours_section(examples, features))
        labels = [source.labels(row) for row in images.rows.tolist()]
        sections.append(scatter_section(_plots(comparable(images.features)), labels))
    return sections


def _read(run: TrainedRun, splits: Splits) -> tuple[Images, Context]:
    """The features of test images, and those of the galleries as a task is given them."""
    encoders = make_encoders(run.config, run.model, run.params, run.variables)
    kinds = {GLOBAL, EMBEDDING} | ({LOCAL_MAP} if uses_sentences(run.config) else set())
    images = read_images(
        splits.test,
        range(len(splits.test))[:NUM_SCATTER],
        {"run": encoders.image},
        kinds,
        config=run.config,
        batch_size=encoders.batch_size,
        grey=reads_grey(run.config),
    )["run"]
    first = {kind: each[:NUM_GALLERY] for kind, each in images.features.items()}
    test, nothing = Images(images.rows[:NUM_GALLERY], first), Images(np.zeros(0, np.int64), {})
    return images, Context(run.config, splits, nothing, test, encoders, run.tokenizer)


def _plots(features: np.ndarray) -> list[Points]:
    umap = umap_points(features) if len(features) >= _FEWEST_OF_UMAP else None
    return [pca_points(features), *([umap] if umap else [])]


def _example(run: TrainedRun, splits: Splits, row: int) -> Example:
    """An image with its first text, or of lmi with its report."""
    source, texts = splits.test, texts_of(run.config, splits.test, row)
    text = " ".join(texts if uses_sentences(run.config) else texts[:1])
    return Example(source.example_id(row), picture_of(source, row), text, tuple(source.labels(row)))


def _pair_sections(context: Context, examples: list[Example], told: np.ndarray) -> list[Section]:
    """Retrieval and false negatives of the images in some places, those that have a text."""
    source, rows = context.splits.test, context.test.rows[told].tolist()
    features = {kind: each[told] for kind, each in context.test.features.items()}
    context = context._replace(test=Images(context.test.rows[told], features))
    scores, units = (_by_critics if uses_sentences(context.config) else _by_cosine)(
        context, [example.text for example in examples]
    )
    studies = np.array([source.study_id(row) for row in rows])
    texts = np.array([text_id(example.text) for example in examples])
    is_negative = (studies[:, None] != studies[None]) & (texts[:, None] != texts[None])
    return [
        retrieval_section(examples, scores, units=units),
        false_negatives_section(examples, scores, is_negative, units=units),
    ]


def _by_cosine(context: Context, texts: list[str]) -> _Scores:
    encoders, tokenizer = context.encoders, context.tokenizer
    if encoders is None or encoders.text is None or tokenizer is None:
        raise ValueError("texts are compared by a text encoder; give encoders that have one")
    vectors, _ = extract(encoders.text, text_batches(tokenizer, texts, encoders.batch_size))
    both = np.concatenate([comparable(context.test.features), vectors])
    return _Scores(cosines_of(both)[: len(texts), len(texts) :], "cosine")


def _by_critics(context: Context, texts: list[str]) -> _Scores:
    """By LMI's critics, of whole reports: by their sum where there are two."""
    config, source = context.config, context.splits.test
    reports = [texts_of(config, source, row) for row in context.test.rows.tolist()]
    critics = context.encoders.critics if context.encoders else {}
    tiles, block = critic_scores(
        config, critics, context.test.features, encode_reports(context, reports)
    )
    score = tiles["sum" if len(tiles) > 1 else next(iter(tiles))]
    found = np.zeros((len(texts), len(texts)), np.float32)
    blocks = blocks_of(len(texts), block)
    for i in blocks:
        for j in blocks:
            tile = np.asarray(score(np.maximum(i, 0), np.maximum(j, 0)))
            found[np.ix_(i[i >= 0], j[j >= 0])] = tile[np.ix_(i >= 0, j >= 0)]
    return _Scores(found, "score")
