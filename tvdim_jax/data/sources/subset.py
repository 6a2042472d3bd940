"""Some rows of a source as a source of their own."""

import hashlib

import numpy as np

from tvdim_jax.data.errors import DataError
from tvdim_jax.data.sources.base import Source


class Subset:
    """`source` with the rows `rows[0]`, `rows[1]` and so on alone.

    Args:
      source: any source of n rows.
      rows: int [m], m >= 1, each from 0 to n - 1.

    Raises:
      DataError: no row, or one that the source does not have.
    """

    def __init__(self, source: Source, rows: np.ndarray) -> None:
        rows = np.asarray(rows, np.int64)
        if not rows.size or rows.min() < 0 or rows.max() >= len(source):
            raise DataError(
                f"rows of {source.name}: got {rows.size} rows"
                + (f" from {rows.min()} to {rows.max()}" if rows.size else "")
                + f", wanted at least one, each from 0 to {len(source) - 1}; choose other rows"
            )
        self.name = source.name
        self._source, self._rows = source, rows.tolist()

    def __len__(self) -> int:
        return len(self._rows)

    def read_image(self, index: int, min_side: int = 0) -> np.ndarray:
        """See Source."""
        return self._source.read_image(self._rows[index], min_side)

    def read_grey(self, index: int, min_side: int = 0) -> np.ndarray:
        """See Source."""
        return self._source.read_grey(self._rows[index], min_side)

    def captions(self, index: int) -> list[str]:
        """See Source."""
        return self._source.captions(self._rows[index])

    def labels(self, index: int) -> list[str]:
        """See Source."""
        return self._source.labels(self._rows[index])

    def ambiguous(self, index: int) -> list[str]:
        """See Source."""
        return self._source.ambiguous(self._rows[index])

    def study_id(self, index: int) -> int:
        """See Source."""
        return self._source.study_id(self._rows[index])

    def example_id(self, index: int) -> str:
        """See Source."""
        return self._source.example_id(self._rows[index])

    def digest(self) -> str:
        """Hash of the source's digest and of the rows."""
        hashed = hashlib.blake2b(self._source.digest().encode(), digest_size=8)
        hashed.update(np.asarray(self._rows, np.int64).tobytes())
        return hashed.hexdigest()
