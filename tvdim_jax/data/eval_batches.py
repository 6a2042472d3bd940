"""Batches for evaluation: rows in order, every one of them, the tail padded and masked."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from tvdim_jax.data.bad_examples import BadExamples
from tvdim_jax.data.errors import BadExample
from tvdim_jax.data.sources.base import Source
from tvdim_jax.data.squares import black_squares, read_square
from tvdim_jax.data.text_ops import clean_caption


def make_eval_batches(
    source: Source,
    *,
    image_size: int,
    batch_size: int,
    grey: bool = False,
    limit: int | None = None,
    ledger: BadExamples | None = None,
    num_threads: int = 8,
) -> Iterator[dict[str, np.ndarray]]:
    """Images of a source, in order, each once.

    Args:
      source: n rows.
      image_size: S, pixels of a side.
      batch_size: B, rows of every batch, the last one too.
      grey: gives uint16 grey squares with a margin (squares.grey_square) instead of RGB.
      limit: reads the first rows only, this many at most; None reads all.
      ledger: gets the images that could not be read.
      num_threads: images decoded at the same time, at least 1.

    Yields:
      {"image": uint8 [B, S, S, 3] or, in grey, uint16 [B, S', S', 1] with S' = stored_side(S),
      "image_id": int32 [B] (row of the source), "where": bool [B]}. where is False, the image
      black, for a bad image and behind the end (image_id -1 there).
    """
    rows = range(len(source))[:limit]

    def read(row: int) -> np.ndarray | None:
        try:
            return read_square(source, row, image_size, grey)
        except BadExample as error:
            if ledger is not None:
                ledger.record(source.example_id(row), error.reason)
            return None

    with ThreadPoolExecutor(num_threads) as pool:
        for start in range(0, len(rows), batch_size):
            part = rows[start : start + batch_size]
            image = black_squares(batch_size, image_size, grey)
            image_id = np.full(batch_size, -1, np.int32)
            image_id[: len(part)] = part
            where = np.zeros(batch_size, bool)
            for place, pixels in enumerate(pool.map(read, part)):
                if pixels is not None:
                    image[place], where[place] = pixels, True
            yield {"image": image, "image_id": image_id, "where": where}


def caption_table(source: Source, indices: Sequence[int]) -> tuple[list[str], np.ndarray]:
    """All captions of some images, cleaned, blank ones left out.

    Args:
      source: images and captions.
      indices: rows.

    Returns:
      texts, m strings, those of an image next to each other; image_id, int32 [m], the row of the
      source that each belongs to.
    """
    texts: list[str] = []
    image_id: list[int] = []
    for row in indices:
        cleaned = [text for text in map(clean_caption, source.captions(int(row))) if text]
        texts += cleaned
        image_id += [int(row)] * len(cleaned)
    return texts, np.array(image_id, np.int32)


def class_names(source: Source, indices: Sequence[int]) -> set[str]:
    """The labels that occur in some rows; empty for a source without labels."""
    return {name for row in indices for name in source.labels(row)}


def labels_matrix(
    source: Source, indices: Sequence[int], names: Sequence[str]
) -> tuple[np.ndarray, np.ndarray]:
    """Labels of some rows as arrays.

    Args:
      source: with labels.
      indices: n rows.
      names: C classes in the order of the columns; other labels are left out.

    Returns:
      labels, bool `[n, C]`, True for the classes of a row; where, bool `[n, C]`, False where a
      class is ambiguous in a row.
    """
    column = {name: number for number, name in enumerate(names)}
    labels = np.zeros((len(indices), len(names)), bool)
    where = np.ones_like(labels)
    for place, row in enumerate(indices):
        labels[place, [column[name] for name in source.labels(row) if name in column]] = True
        where[place, [column[name] for name in source.ambiguous(row) if name in column]] = False
    return labels, where
