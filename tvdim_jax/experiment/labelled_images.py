"""Labelled images of a source, and the batches of them that fine-tuning trains on."""

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

import numpy as np
from ml_collections import ConfigDict

from tvdim_jax.config import reads_grey
from tvdim_jax.data.bad_examples import BadExamples
from tvdim_jax.data.eval_batches import make_eval_batches
from tvdim_jax.data.pipeline import TrainStream, make_train_stream
from tvdim_jax.data.sources.base import Source
from tvdim_jax.data.sources.subset import Subset
from tvdim_jax.evals.labelled import LabelledFeatures, check_pair


class LabelledImages(NamedTuple):
    """Images of a source with their labels.

    Attributes:
      source: of the images.
      rows: int `[n]`, which rows of it take part.
      labels: int `[n]` in [0, C) for one label an image, or bool `[n, C]` for several.
      where: only with several labels: bool `[n, C]`, False = unknown, the entry neither trains nor
        counts, see evals.label_policy. None = every entry is known.
    """

    source: Source
    rows: np.ndarray
    labels: np.ndarray
    where: np.ndarray | None = None


def check_images(train_set: LabelledImages, test_set: LabelledImages) -> int:
    """The number of classes C.

    Raises:
      ValueError: sets that do not fit together, see evals.labelled.check_pair.
    """
    parts = (
        # One number an image in place of features, which those checks ask for.
        LabelledFeatures(np.asarray(part.rows, np.float32)[:, None], part.labels, part.where)
        for part in (train_set, test_set)
    )
    return check_pair(*parts)


def train_stream(
    config: ConfigDict, images: LabelledImages, batch_size: int, ledger: BadExamples
) -> TrainStream:
    """Shuffled batches without labels, without end; see `with_labels`. Close it."""
    return make_train_stream(
        Subset(images.source, images.rows),
        None,
        image_size=config.data.image_size,
        global_batch_size=batch_size,
        seed=config.seed,
        ledger=ledger,
        grey=reads_grey(config),
        num_threads=config.data.num_threads,
    )


def with_labels(
    batches: Iterable[Mapping[str, np.ndarray]], images: LabelledImages
) -> Iterator[dict[str, np.ndarray]]:
    """Training batches with the labels of the images that they hold after all replacements.

    Args:
      batches: of `train_stream`.
      images: of that stream.

    Yields:
      {"image", "where", "labels": int32 `[B]` or bool `[B, C]`}, of several labels also
      {"label_where": bool `[B, C]`}.
    """
    where = np.ones(images.labels.shape, bool) if images.where is None else images.where
    for batch in batches:
        index = batch["image_id"]
        labelled = {"image": batch["image"], "where": batch["where"]}
        if images.labels.ndim == 1:
            yield {**labelled, "labels": images.labels[index].astype(np.int32)}
        else:
            yield {**labelled, "labels": images.labels[index], "label_where": where[index]}


def scored_batches(
    config: ConfigDict, images: LabelledImages, batch_size: int, ledger: BadExamples
) -> Iterator[dict[str, np.ndarray]]:
    """All images in order, see data.eval_batches; image_id is the place in `images`."""
    return make_eval_batches(
        Subset(images.source, images.rows),
        image_size=config.data.image_size,
        batch_size=batch_size,
        grey=reads_grey(config),
        ledger=ledger,
        num_threads=max(1, config.data.num_threads),
    )
