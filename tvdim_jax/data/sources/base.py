"""What every source of images with captions offers to the pipeline."""

from typing import Protocol, runtime_checkable

import numpy as np


class Source(Protocol):
    """Random access to examples, safe to read from many threads.

    Attributes:
      name: short name of the set, such as "scenes".
    """

    name: str

    def __len__(self) -> int: ...

    def read_image(self, index: int, min_side: int = 0) -> np.ndarray:
        """Image of a row, RGB uint8 [h, w, 3].

        Args:
          index: row, 0 to len - 1.
          min_side: a shorter side that is enough, in pixels: a larger image may come reduced, but
            never below it. 0 asks for the full size.

        Raises:
          BadExample: the image cannot be used.
        """
        ...

    def read_grey(self, index: int, min_side: int = 0) -> np.ndarray:
        """The same image in grey, uint16 [h, w, 1], with all bits that a file has.

        Args:
          index: row.
          min_side: see read_image.

        Raises:
          BadExample: the image cannot be used.
        """
        ...

    def captions(self, index: int) -> list[str]:
        """Captions of a row as they were written, possibly none."""
        ...

    def labels(self, index: int) -> list[str]:
        """Names of the classes that the image shows, possibly none."""
        ...

    def ambiguous(self, index: int) -> list[str]:
        """Names of the classes that the image may or may not show: not scored."""
        ...

    def study_id(self, index: int) -> int:
        """Number of the study of a row, 0 to 2**31 - 1; the row itself where each is its own.

        Rows of one study share a text, or may: they are not each other's negatives.
        """
        ...

    def example_id(self, index: int) -> str:
        """Name of a row for people: unique in the source."""
        ...

    def digest(self) -> str:
        """Short hash of what the source is: another one when its rows change."""
        ...


@runtime_checkable
class KnowsSubjects(Protocol):
    """A source that knows whose images it has."""

    def subject_id(self, index: int) -> int:
        """Number of the patient or other subject of a row."""
        ...


@runtime_checkable
class KnowsUnmentioned(Protocol):
    """A source that tells a class that is absent from one of which nothing is said."""

    def unmentioned(self, index: int) -> list[str]:
        """Names of the classes of which nothing is said; neither in `labels` nor `ambiguous`."""
        ...


@runtime_checkable
class KnowsBoxes(Protocol):
    """A source that knows where the two objects of each image are."""

    def boxes(self, index: int) -> list[tuple[str, tuple[int, int, int, int]]]:
        """Name and box (x0, y0, x1, y1) of two objects, in pixels, x1 and y1 exclusive."""
        ...
