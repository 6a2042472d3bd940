"""Images and texts that find each other."""

import itertools
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from tvdim_jax.config import compares_texts, uses_sentences, uses_text
from tvdim_jax.data.eval_batches import caption_table
from tvdim_jax.data.reports import report_sentences
from tvdim_jax.evals import retrieval
from tvdim_jax.evals.features import extract
from tvdim_jax.evals.score_tiles import ScoreTile
from tvdim_jax.experiment.data import Splits
from tvdim_jax.experiment.encoders import EMBEDDING, GLOBAL, LOCAL_MAP, comparable, text_batches
from tvdim_jax.experiment.progress import make_counter
from tvdim_jax.experiment.tasks.base import (
    Context,
    Examples,
    Images,
    Outcome,
    Task,
    first_rows,
)
from tvdim_jax.experiment.tasks.critics import critic_scores, encode_reports

KS = (1, 5, 10)


def score_retrieval(
    image_x: np.ndarray, image_rows: np.ndarray, text_x: np.ndarray, text_rows: np.ndarray
) -> Outcome:
    """Recall at 1, 5, 10 both ways, with the set's size and chance beside it.

    Args:
      image_x: `[N, D]`, in the space of the texts.
      image_rows: int `[N]`, rows of the images in the source, increasing.
      text_x: `[M, D]`.
      text_rows: int `[M]`, the row of each text's image.
    """
    text_image = np.searchsorted(image_rows, text_rows)
    ranks = retrieval.partner_ranks(image_x, text_x, text_image)
    recalls = retrieval.recalls(ranks, KS)
    result = {
        "metrics": recalls,
        "chance": retrieval.chance_recall_at_k(len(image_rows), text_image, KS),
        "num_images": len(image_rows),
        "num_texts": len(text_rows),
        "note": (
            f"{len(image_rows):,} images and {len(text_rows):,} texts by cosine, ties count as "
            f"misses; {_recalls_text(recalls)}"
        ),
    }
    return Outcome(result, hits_of(ranks, image_rows, text_rows))


def _recalls_text(recalls: Mapping[str, float]) -> str:
    """Such as "image to text R@1 2.0, R@5 8.5, R@10 15.0 %, text to image ..."."""
    ways = []
    for way in ("image_to_text", "text_to_image"):
        numbers = ", ".join(f"R@{k} {100 * recalls[f'{way}_R@{k}']:.1f}" for k in KS)
        ways.append(f"{way.replace('_', ' ')} {numbers} %")
    return ", ".join(ways)


def hits_of(
    ranks: retrieval.Ranks, image_rows: np.ndarray, text_rows: np.ndarray
) -> dict[str, Examples]:
    """Whether each query found its partner among the first 1, 5, 10.

    Args:
      ranks: of N images and M texts.
      image_rows: int `[N]`, their rows in the source.
      text_rows: int `[M]`, the row of each text's image: texts of one image are drawn together.
    """
    asks = ranks.image >= 0
    ways = {
        "image to text": (image_rows[asks], ranks.image[asks]),
        "text to image": (text_rows, ranks.text),
    }
    found = {}
    for way, (rows, before) in ways.items():
        hits = before[:, None] < np.array(KS)
        names = tuple(f"R@{k}" for k in KS)
        found[way] = Examples(rows, names, hits, None, np.ones_like(hits))
    return found


def missing_texts(config: ConfigDict, splits: Splits) -> str | None:
    """See `Task`: a text encoder, and texts in the test part."""
    if not uses_text(config):
        return "the run has no text encoder"
    if not compares_texts(config):
        return f"a run of {config.objective.name} compares no image with a text"
    rows = first_rows(config, splits.test, config.eval.num_test_examples)
    if not any(caption_table(splits.test, [row])[0] for row in rows):
        return f"the test part of {splits.test.name} has no texts"
    return None


def score_by_critics(context: Context) -> Outcome:
    """The same by the scores of LMI's critics, of whole reports.

    Of the images of one study, which share its report, the first one takes part. Images whose
    report has no sentence are found or not, but find nothing.

    Returns:
      As `score_retrieval`, by the sum of the critics where there are two; "details" has the recalls
      of each.
    """
    config, source = context.config, context.splits.test
    images = _first_of_study(context)
    said = [
        report_sentences(source.captions(row), config.data.max_sentences)
        for row in images.rows.tolist()
    ]
    text_image = np.flatnonzero([len(sentences) > 0 for sentences in said])
    if not text_image.size:
        raise ValueError(f"no report of {source.name} has a sentence; leave retrieval out")
    reports = encode_reports(context, [said[row] for row in text_image])
    critics = context.encoders.critics if context.encoders else {}
    tiles, block = critic_scores(config, critics, images.features, reports)
    ranks = {
        name: retrieval.partner_ranks_by_scores(
            _reported(score, block, text_image, len(said), _named(context.report, name)),
            len(said),
            text_image,
            block_size=block,
        )
        for name, score in tiles.items()
    }
    found = {name: retrieval.recalls(each, KS) for name, each in ranks.items()}
    scored_by = "sum" if len(found) > 1 else next(iter(found))
    result = {
        "metrics": found[scored_by],
        "chance": retrieval.chance_recall_at_k(len(said), text_image, KS),
        "num_images": len(said),
        "num_texts": text_image.size,
        "details": found,
        "note": (
            f"recall of {len(said):,} images and {text_image.size:,} whole reports by the scores "
            "of the critics, ties count as misses"
        ),
    }
    return Outcome(result, hits_of(ranks[scored_by], images.rows, images.rows[text_image]))


def _named(report: Callable[[str], None], name: str) -> Callable[[str], None]:
    return lambda line: report(f"{name} critic: {line}")


def _reported(
    score: ScoreTile,
    block: int,
    text_image: np.ndarray,
    num_images: int,
    report: Callable[[str], None],
) -> ScoreTile:
    """The same scores; each tile is reported. Tiles with partners are asked for twice."""
    num_texts = len(text_image)
    of_texts = np.arange(num_texts) // min(block, num_texts)
    with_partners = set(zip(text_image // min(block, num_images), of_texts, strict=True))
    total = -(-num_images // block) * -(-num_texts // block) + len(with_partners)
    count, asked = make_counter(report, total, "tiles"), itertools.count(1)

    def reported(i: np.ndarray, j: np.ndarray) -> Any:
        tile = np.asarray(score(i, j))
        count(next(asked))
        return tile

    return reported


def _first_of_study(context: Context) -> Images:
    rows, features = context.test
    study_id = [context.splits.test.study_id(row) for row in rows.tolist()]
    first = np.sort(np.unique(study_id, return_index=True)[1])
    return Images(rows[first], {kind: each[first] for kind, each in features.items()})


def _retrieval(context: Context) -> Outcome:
    if uses_sentences(context.config):
        return score_by_critics(context)
    encoders, tokenizer, test = context.encoders, context.tokenizer, context.test
    if encoders is None or encoders.text is None or tokenizer is None:
        raise ValueError("retrieval needs a text encoder; leave the task out")
    texts, text_rows = caption_table(context.splits.test, test.rows.tolist())
    batches = text_batches(tokenizer, texts, encoders.batch_size)
    text_x, _ = extract(encoders.text, batches)
    return score_retrieval(comparable(test.features), test.rows, text_x, text_rows)


RETRIEVAL = Task(
    does="images by their texts and texts by their images: recall at 1, 5, 10",
    run=_retrieval,
    missing=missing_texts,
    train=(),
    test=(GLOBAL, EMBEDDING),
    takes_pixels=False,
    test_of_critics=(LOCAL_MAP,),
)
