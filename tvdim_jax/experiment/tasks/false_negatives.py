"""Audit of false negatives: which negatives nearly match, and what weight SRCL gives them."""

from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from ml_collections import ConfigDict

from tvdim_jax.config import uses_embeddings
from tvdim_jax.data.eval_batches import caption_table, make_eval_batches
from tvdim_jax.data.sources.base import Source
from tvdim_jax.data.sources.subset import Subset
from tvdim_jax.data.text_ops import text_id
from tvdim_jax.evals.features import extract, extract_all
from tvdim_jax.evals.knn import unit_rows
from tvdim_jax.experiment.data import Splits
from tvdim_jax.experiment.encoders import (
    EMBEDDING,
    GLOBAL,
    Encoders,
    comparable,
    make_encoders,
    text_batches,
)
from tvdim_jax.experiment.tasks.base import Context, Outcome, Task, first_rows
from tvdim_jax.experiment.teacher import open_teacher
from tvdim_jax.losses import similarity_weights

NUM_SHOWN = 20  # of the negatives that match best
_EDGES = (0.0, 0.2, 0.4, 0.7, 1.0, 1.5, np.inf)


class _Batches(NamedTuple):
    """Rows of the source in random batches `[K, B]`, and the number of each text, `[K, B]`."""

    rows: np.ndarray
    text_ids: np.ndarray


class _Judge(NamedTuple):
    """Unit vectors of the images and of their texts, both `[n, D]`, by one model."""

    images: np.ndarray
    texts: np.ndarray


class _Negatives(NamedTuple):
    """Some negatives of the batches: rows of image and text `[P, 2]`, judge -> numbers `[P]`."""

    rows: np.ndarray
    cosines: dict[str, np.ndarray]
    weights: dict[str, np.ndarray]


def _missing(config: ConfigDict, splits: Splits) -> str | None:
    if not uses_embeddings(config):
        return f"a run of {config.objective.name} weighs no negatives"
    rows = first_rows(config, splits.train, config.eval.num_train_examples)
    if sum(bool(splits.train.captions(row)) for row in rows) < 2:
        return f"the training part of {splits.train.name} has no texts"
    return None


def _false_negatives(context: Context) -> Outcome:
    """Weights in batches of the run's size, each image with its first text; rows as anchors.

    Raises:
      ValueError: no batch has a negative.
    """
    config, source, images = context.config, context.splits.train, context.train
    encoders, tokenizer = context.encoders, context.tokenizer
    if encoders is None or encoders.text is None or tokenizer is None:
        raise ValueError("false_negatives needs a text encoder; leave the task out")
    texts = _first_texts(source, images.rows)
    batches = _batches(config, {row: tokenizer.prepared(text) for row, text in texts.items()})
    tokens = list(text_batches(tokenizer, list(texts.values()), encoders.batch_size))
    text_x, _ = extract(encoders.text, tokens)
    kept = np.isin(images.rows, list(texts))
    judges = {"model": _Judge(unit_rows(comparable(images.features)[kept]), unit_rows(text_x))}
    if config.objective.teacher and Path(config.objective.teacher).is_dir():
        judges["teacher"] = _of_teacher(config, source, list(texts), tokens)
    counts, moments, best = _audit(config, judges, np.array(list(texts)), batches)
    if not len(best.rows):
        raise ValueError(
            f"false_negatives: got {len(texts)} training images whose texts are equal in every "
            "batch, wanted some negatives; take another set or more of it with "
            "--config.eval.num_train_examples=N"
        )
    shares = {name: each / each.sum() for name, each in counts.items()}
    metrics = {
        f"{name}_weight_below_{bound}": float(each[: _EDGES.index(bound)].sum())
        for name, each in shares.items()
        for bound in (0.2, 0.7)
    }
    if "teacher" in judges:
        metrics["teacher_correlation"] = _correlation(moments)
    bins = [f"{low} to {high}" for low, high in pairwise(_EDGES)]
    nearest = _entries(source, texts, best)
    result = {
        "metrics": metrics,
        "details": {
            f"weights by the {name}": dict(zip(bins, each.tolist(), strict=True))
            for name, each in shares.items()
        },
        "num_batches": len(batches.rows),
        "norm": config.objective.norm,
        "delta": config.objective.delta,
        "nearest": nearest,
        "note": "the negatives that match best\n" + "\n".join(map(_line, nearest)),
    }
    return Outcome(result, {})


def _first_texts(source: Source, rows: np.ndarray) -> dict[int, str]:
    """Row -> its first text, of the rows that have one."""
    texts, text_rows = caption_table(source, rows.tolist())
    first = np.unique(text_rows, return_index=True)[1]
    return {int(text_rows[place]): texts[place] for place in first}


def _batches(config: ConfigDict, texts: Mapping[int, str]) -> _Batches:
    size = min(config.train.batch_size, len(texts))
    rows = np.random.default_rng(config.seed).permutation(np.array(list(texts)))
    rows = rows[: len(rows) // size * size].reshape(-1, size)
    return _Batches(rows, np.vectorize(lambda row: text_id(texts[row]), otypes=[np.int32])(rows))


def _of_teacher(
    config: ConfigDict, source: Source, rows: list[int], tokens: list[dict[str, np.ndarray]]
) -> _Judge:
    teacher = open_teacher(config)
    if teacher is None or teacher.model.text is None:
        raise ValueError("false_negatives: the teacher has no text encoder")
    encoders: Encoders = make_encoders(
        config, teacher.model, teacher.trees["params"], teacher.trees["variables"]
    )
    batches = make_eval_batches(
        Subset(source, np.array(rows)),
        image_size=config.data.image_size,
        batch_size=encoders.batch_size,
        num_threads=max(1, config.data.num_threads),
    )
    image_x, _ = extract_all(lambda batch: {EMBEDDING: encoders.image(batch)[EMBEDDING]}, batches)
    if encoders.text is None:
        raise ValueError("false_negatives: the teacher has no text encoder")
    text_x, _ = extract(encoders.text, tokens)
    return _Judge(unit_rows(image_x[EMBEDDING]), unit_rows(text_x))


def _audit(
    config: ConfigDict, judges: Mapping[str, _Judge], known: np.ndarray, batches: _Batches
) -> tuple[dict[str, np.ndarray], np.ndarray, _Negatives]:
    """Of all batches, one after the other: memory does not grow with their number.

    Returns:
      How many negatives have a weight in each bin; the sums of the products of a column of ones
      and the cosines of each judge; the nearest negatives.
    """
    counts = {name: np.zeros(len(_EDGES) - 1) for name in judges}
    moments = np.zeros((len(judges) + 1, len(judges) + 1))
    empty = dict.fromkeys(judges, np.zeros(0, np.float32))
    best = _Negatives(np.zeros((0, 2), np.int64), empty, empty)
    for rows, ids in zip(*batches, strict=True):
        found = _negatives(config, judges, np.searchsorted(known, rows), rows, ids)
        for name, weights in found.weights.items():
            counts[name] += np.histogram(weights, bins=_EDGES)[0]
        columns = np.stack([np.ones(len(found.rows)), *found.cosines.values()])
        moments += columns @ columns.T
        best = _nearest(jax.tree.map(lambda *each: np.concatenate(each), best, found))
    return counts, moments, best


def _negatives(
    config: ConfigDict,
    judges: Mapping[str, _Judge],
    places: np.ndarray,
    rows: np.ndarray,
    text_ids: np.ndarray,
) -> _Negatives:
    """All negatives of one batch, whose vectors are at `places` `[B]`."""
    options: dict[str, Any] = {"norm": config.objective.norm, "delta": config.objective.delta}
    group_id = np.stack([rows, text_ids], axis=1).astype(np.int32)
    cosines = {name: each.images[places] @ each.texts[places].T for name, each in judges.items()}
    weights = {
        name: np.asarray(
            similarity_weights(each, x_group_id=group_id, y_group_id=group_id, **options)
        )
        for name, each in cosines.items()
    }
    negative = weights["model"] > 0
    kept = ({name: each[negative] for name, each in of.items()} for of in (cosines, weights))
    return _Negatives(rows[np.argwhere(negative)], *kept)


def _nearest(found: _Negatives) -> _Negatives:
    """Those with the highest cosine by the teacher, or else by the model."""
    judge = "teacher" if "teacher" in found.cosines else "model"
    order = np.argsort(-found.cosines[judge], kind="stable")[:NUM_SHOWN]
    return jax.tree.map(lambda each: each[order], found)


def _correlation(moments: np.ndarray) -> float:
    """Of two columns, from the sums `[3, 3]` of the products of a column of ones and of both."""
    count, total = moments[0, 0], moments[0, 1:]
    covariance = moments[1:, 1:] / count - np.outer(total, total) / count**2
    return float(covariance[0, 1] / np.sqrt(covariance[0, 0] * covariance[1, 1]))


def _entries(source: Source, texts: Mapping[int, str], found: _Negatives) -> list[dict[str, Any]]:
    entries = []
    for place, (own, wrong) in enumerate(found.rows.tolist()):
        entry: dict[str, Any] = {
            "image": source.example_id(own),
            "own_text": texts[own],
            "other_image": source.example_id(wrong),
            "other_text": texts[wrong],
        }
        for name in found.cosines:
            entry[f"{name}_cosine"] = float(found.cosines[name][place])
            entry[f"{name}_weight"] = float(found.weights[name][place])
        entries.append(entry)
    return entries


def _line(entry: Mapping[str, Any]) -> str:
    numbers = ", ".join(
        f"{name} cosine {entry[f'{name}_cosine']:.2f} weight {entry[f'{name}_weight']:.2f}"
        for name in ("model", "teacher")
        if f"{name}_cosine" in entry
    )
    return (
        f'  {numbers}: {entry["image"]} "{entry["own_text"]}" against '
        f'{entry["other_image"]} "{entry["other_text"]}"'
    )


FALSE_NEGATIVES = Task(
    does="training negatives that nearly match, and the weights of SRCL for them",
    run=_false_negatives,
    missing=_missing,
    train=(GLOBAL, EMBEDDING),
    test=(),
    takes_pixels=False,
)
