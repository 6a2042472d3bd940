"""The sets: photographs with captions, products with titles, and labelled images elsewhere."""

import collections
import itertools
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np

from tvdim_jax.data.errors import DataError
from tvdim_jax.data.sources.base import Source
from tvdim_jax.data.sources.captions import CaptionsFolder
from tvdim_jax.data.sources.subset import Subset
from tvdim_jax.experiment.data import Splits

TEST_SHARE = 0.1  # of the photographs
PRODUCTS_TEST_SHARE = 0.2
TRANSFER_TEST_SHARE = 0.25
MIN_PER_CLASS = 50  # images of an article type; rarer ones have no label


class Products(CaptionsFolder):
    """Products whose label is their article type, where enough images have it."""

    def __init__(self, path: str) -> None:
        super().__init__(path, label_field="articleType")
        types = (CaptionsFolder.labels(self, row) for row in range(len(self)))
        counts = collections.Counter(itertools.chain.from_iterable(types))
        self._frequent = {label for label, count in counts.items() if count >= MIN_PER_CLASS}

    def labels(self, index: int) -> list[str]:
        """The article type, or none."""
        return [label for label in super().labels(index) if label in self._frequent]


class FinestLabel(CaptionsFolder):
    """Images of labels.jsonl, which names the finest class of an image first."""

    def labels(self, index: int) -> list[str]:
        """One class."""
        return super().labels(index)[:1]


def open_splits(name: str, path: str) -> Splits:
    """The training and the test part of a set, captions as they were written.

    - "captions": the test part is chosen by the hash of the image name; labels are concepts.
    - "tuning": the training part of "captions", parted once more, so no image of its test part.
    - "products": by the hash of the title, as one product may have several images.

    Raises:
      DataError: the folder cannot be read.
    """
    if name == "products":
        products = Products(path)
        titles = [" ".join(products.captions(row)).lower() for row in range(len(products))]
        return split_by_hash(products, titles.__getitem__, PRODUCTS_TEST_SHARE)
    train = CaptionsFolder(path, "train", TEST_SHARE)
    if name == "tuning":
        # The hashes below TEST_SHARE are those of the test part and not among these.
        return split_by_hash(train, train.example_id, 2 * TEST_SHARE)
    return Splits(train, CaptionsFolder(path, "validation", TEST_SHARE))


def split_by_hash(source: Source, name_of: Callable[[int], str], share: float) -> Splits:
    """Two parts of a source.

    Args:
      source: to be parted.
      name_of: row -> name; rows of one name stay together.
      share: of the names in the test part, about: those with a CRC-32 below it.
    """
    names = [name_of(row).encode() for row in range(len(source))]
    is_test = np.array([zlib.crc32(name) < share * 2**32 for name in names])
    return Splits(Subset(source, np.flatnonzero(~is_test)), Subset(source, np.flatnonzero(is_test)))


def transfer_sets(folder: Path) -> dict[str, Splits]:
    """The labelled sets in the subfolders of a folder that have a labels.jsonl, by name.

    Raises:
      DataError: there is none, or one cannot be read.
    """
    found = {
        file.parent.name: Splits(
            *(
                FinestLabel(file.parent, split, TRANSFER_TEST_SHARE, file=file.name)
                for split in ("train", "validation")
            )
        )
        for file in sorted(folder.glob("*/labels.jsonl"))
    }
    if not found:
        raise DataError(
            f"--transfer: got {folder}, wanted a folder with folders that have a labels.jsonl; "
            "leave it out to score on no other sets"
        )
    return found
