"""Caption noise: a recorded share of the rows carries the captions of another row."""

import hashlib

import numpy as np

from tvdim_jax.data.errors import DataError
from tvdim_jax.data.sources.base import Source


class NoisyCaptions:
    """`source` with the captions of row `noise_index[i]` at row i; images and labels stay.

    Attributes:
      name: that of the source.
      noise_index: donor of each row, int64 [n]; the row itself where nothing was swapped.
    """

    def __init__(self, source: Source, noise_index: np.ndarray) -> None:
        self.name = source.name
        self.noise_index = noise_index
        self._source = source

    def __len__(self) -> int:
        return len(self._source)

    def read_image(self, index: int, min_side: int = 0) -> np.ndarray:
        """See Source."""
        return self._source.read_image(index, min_side)

    def read_grey(self, index: int, min_side: int = 0) -> np.ndarray:
        """See Source."""
        return self._source.read_grey(index, min_side)

    def captions(self, index: int) -> list[str]:
        """Captions of the donor."""
        return self._source.captions(int(self.noise_index[index]))

    def labels(self, index: int) -> list[str]:
        """See Source: those of the image, never of the donor."""
        return self._source.labels(index)

    def ambiguous(self, index: int) -> list[str]:
        """See Source."""
        return self._source.ambiguous(index)

    def study_id(self, index: int) -> int:
        """See Source: that of the image, never of the donor."""
        return self._source.study_id(index)

    def example_id(self, index: int) -> str:
        """See Source."""
        return self._source.example_id(index)

    def digest(self) -> str:
        """Hash of the source's digest and of the donors."""
        hashed = hashlib.blake2b(self._source.digest().encode(), digest_size=8)
        hashed.update(self.noise_index.tobytes())
        return hashed.hexdigest()


def with_caption_noise(source: Source, rate: float, seed: int) -> Source:
    """Swaps the captions of a share of the rows to see how a method bears wrong captions.

    Args:
      source: any source.
      rate: share of the rows, in [0, 1]: exactly round(rate * n) of them are chosen.
      seed: 0 or more; fixes which rows are chosen and who gives to whom.

    Returns:
      `source` itself for rate 0; else a NoisyCaptions in which no chosen row keeps its own captions
      and each gives to exactly one other.

    Raises:
      DataError: rate outside [0, 1], or just one row chosen, which has nobody to swap with.
    """
    if not 0 <= rate <= 1:
        raise DataError(f"caption noise: got rate {rate}, wanted 0 to 1; set data.noise_rate")
    count = round(rate * len(source))
    if rate == 0:
        return source
    if count == 1:
        raise DataError(
            f"caption noise: got rate {rate} of {len(source)} rows, which is one row, wanted none"
            " or two and more; raise data.noise_rate"
        )
    chosen = np.random.default_rng(seed).permutation(len(source))[:count]
    noise_index = np.arange(len(source))
    noise_index[chosen] = np.roll(chosen, -1)  # one circle: nobody is his own donor
    return NoisyCaptions(source, noise_index)
