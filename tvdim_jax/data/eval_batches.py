"""Batches for evaluation: rows in order, every one of them, the tail padded and masked."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from tvdim_jax.data.bad_examples import BadExamples
from tvdim_jax.data.errors import BadExample, DataError
from tvdim_jax.data.image_ops import resize_square
from tvdim_jax.data.sources.base import Source
from tvdim_jax.data.text_ops import clean_caption


def make_eval_batches(
    source: Source,
    *,
    image_size: int,
    batch_size: int,
    limit: int | None = None,
    ledger: BadExamples | None = None,
    num_threads: int = 8,
) -> Iterator[dict[str, np.ndarray]]:
    """Images of a source, in order, each once.

    Args:
      source: n rows.
      image_size: S, pixels of a side.
      batch_size: B, rows of every batch, the last one too.
      limit: reads the first rows only, this many at most; None reads all.
      ledger: gets the images that could not be read.
      num_threads: images decoded at the same time, at least 1.

    Yields:
      {"image": uint8 [B, S, S, 3], "image_id": int32 [B] (row of the source), "where": bool [B]}.
      where is False, the image black, for a bad image and behind the end (image_id -1 there).
    """
    rows = range(len(source))[:limit]

    def read(row: int) -> np.ndarray | None:
        try:
            return resize_square(source.read_image(row, image_size), image_size)
        except BadExample as error:
            if ledger is not None:
                ledger.record(source.example_id(row), error.reason)
            return None

    with ThreadPoolExecutor(num_threads) as pool:
        for start in range(0, len(rows), batch_size):
            part = rows[start : start + batch_size]
            image = np.zeros((batch_size, image_size, image_size, 3), np.uint8)
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


def labels_matrix(
    source: Source, indices: Sequence[int], class_names: Sequence[str] | None = None
) -> tuple[tuple[str, ...], np.ndarray, np.ndarray]:
    """Labels of some rows as an array.

    Args:
      source: with labels.
      indices: n rows.
      class_names: C classes in the order of the columns, as a first call on the training part gave
        them; None takes all that occur as labels, sorted. Other names are left out.

    Returns:
      class_names, empty without labels; labels; where, bool [n, C], False where a class is
      ambiguous in a row. If every row has exactly one label and nothing is ambiguous, labels are
      class numbers, int32 [n]; otherwise bool [n, C], True for the classes of the row.

    Raises:
      DataError: one label in each row, but one outside `class_names`.
    """
    labels = [source.labels(int(row)) for row in indices]
    ambiguous = [source.ambiguous(int(row)) for row in indices]
    found = {name for names in labels for name in names}
    classes = tuple(sorted(found) if class_names is None else class_names)
    column = {name: number for number, name in enumerate(classes)}
    where = np.ones((len(labels), len(classes)), bool)
    if classes and all(len(names) == 1 for names in labels) and not any(ambiguous):
        unknown = sorted(found - set(classes))
        if unknown:
            raise DataError(
                f"labels of {source.name}: got {unknown} among {len(labels)} rows, wanted labels of"
                f" the {len(classes)} classes of the training part; use a larger training part"
            )
        return classes, np.array([column[names[0]] for names in labels], np.int32), where
    matrix = np.zeros(where.shape, bool)
    for row, (shown, unsure) in enumerate(zip(labels, ambiguous, strict=True)):
        matrix[row, [column[name] for name in shown if name in column]] = True
        where[row, [column[name] for name in unsure if name in column]] = False
    return classes, matrix, where
