"""A source made by hand, and encoders that are tables: what an evaluation gives is then known."""

import numpy as np

from tvdim_jax.data.errors import BadExample
from tvdim_jax.data.tokenizer import Tokenizer
from tvdim_jax.experiment.encoders import Encoders

TOKENIZER = Tokenizer(
    ["[PAD]", "[UNK]", "[CLS]", *"0123456789"], lower_case=True, add_sep=False, max_length=4
)


class Table:
    """Row i is an image of level i; captions, labels and ambiguous classes come from lists."""

    def __init__(self, size, *, labels=None, ambiguous=None, captions=None, bad=()):
        self.name = "table"
        self._labels = [[]] * size if labels is None else labels
        self._ambiguous = [[]] * size if ambiguous is None else ambiguous
        self._captions = [[]] * size if captions is None else captions
        self._size, self._bad = size, bad

    def __len__(self):
        return self._size

    def read_image(self, row, min_side=0):
        if row in self._bad:
            raise BadExample("missing file")
        return np.full((32, 32, 3), row, np.uint8)

    def captions(self, row):
        return self._captions[row]

    def labels(self, row):
        return self._labels[row]

    def ambiguous(self, row):
        return self._ambiguous[row]

    def study_id(self, row):
        return row

    def example_id(self, row):
        return f"{row}.jpg"


def embed_level(batch):
    """Level l of the image -> the l-th column of a wheel of 40 directions."""
    assert batch["image"].shape == (16, 32, 32, 3)
    angle = batch["image"][:, 0, 0, 0] * (2 * np.pi / 40)
    return {"global": np.stack([np.cos(angle), np.sin(angle), np.ones_like(angle)], -1)}


def embed_number(batch):
    """A caption "1 7" -> the direction of level 17."""
    assert batch["token_ids"].shape == (16, 4)
    digits = batch["token_ids"][:, 1:3] - 3
    angle = (10 * digits[:, 0] + digits[:, 1]) * (2 * np.pi / 40)
    return np.stack([np.cos(angle), np.sin(angle), np.ones_like(angle)], -1)


ENCODERS = Encoders(16, embed_level, embed_number, {})


def halves(size):
    """One label an image: which half of the wheel it is in."""
    return [["low" if row < 20 else "high"] for row in range(size)]


def numbers(size):
    return [[f"{row // 10} {row % 10}"] for row in range(size)]


class Findings(Table):
    """Planted findings: three sources of doubt, and features in which each finding is a direction.

    Finding k of row i is positive, negative, uncertain or unmentioned by `marks[i, k]`; studies
    have two rows each, subjects four.
    """

    NAMES = ("Edema", "Fracture", "Pneumonia")

    def __init__(self, size, *, seed, first_subject=0):
        super().__init__(size)
        self.name = "findings"
        self.marks = np.random.default_rng(seed).choice(
            [1, 0, -1, -2], size=(size, 3), p=[0.35, 0.25, 0.1, 0.3]
        )
        self._first_subject = first_subject

    def _named(self, row, mark):
        return [name for name, own in zip(self.NAMES, self.marks[row], strict=True) if own == mark]

    def labels(self, row):
        return self._named(row, 1)

    def ambiguous(self, row):
        return self._named(row, -1)

    def unmentioned(self, row):
        return self._named(row, -2)

    def study_id(self, row):
        return 1000 * self._first_subject + row // 2

    def subject_id(self, row):
        return self._first_subject + row // 4

    def features(self, seed, signal=3.0):
        """float32 `[n, 8]`: noise, and `signal` along axis k where finding k is positive."""
        noise = np.random.default_rng(seed).normal(size=(len(self), 8))
        noise[:, :3] += signal * (self.marks == 1)
        return noise.astype(np.float32)
