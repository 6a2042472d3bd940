"""Paired bootstrap: is one run better than another, or only luckier with the test examples?

Every resample counts the same examples for both runs, all resamples of a block at once.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from tvdim_jax.evals.counted_metrics import Metric

_BLOCK_ENTRIES = 2**22  # counts in memory at a time, 32 MiB


class BootstrapResult(NamedTuple):
    """What was measured and by which protocol; `_asdict()` is JSON.

    Attributes:
      metric: name of the metric that both runs have.
      first: the metric of the first run on all examples.
      second: that of the second run.
      difference: first - second.
      low: lower end of the interval of the difference (percentile method).
      high: upper end.
      confidence: share of the resamples within the interval.
      num_resamples: drawn.
      num_undefined: of these, left out because a metric was undefined.
      num_examples: n.
      num_groups: units that were resampled: the examples, or the groups.
      seed: of the resampling.
    """

    metric: str
    first: float
    second: float
    difference: float
    low: float
    high: float
    confidence: float
    num_resamples: int
    num_undefined: int
    num_examples: int
    num_groups: int
    seed: int


def paired_difference(
    first: Metric,
    second: Metric,
    *,
    group_id: np.ndarray | None = None,
    num_resamples: int = 2000,
    confidence: float = 0.95,
    seed: int = 0,
) -> BootstrapResult:
    """Resamples the examples with replacement and takes the difference each time.

    Args:
      first: of one run.
      second: of the other run on the same examples in the same order.
      group_id: `[n]`, equal = drawn together, such as the images of one patient, which are not
        independent; None = every example by itself.
      num_resamples: >= 1.
      confidence: in (0, 1).
      seed: of the resampling; equal seeds draw equal resamples.

    Returns:
      The difference, its interval and the protocol.

    Raises:
      ValueError: metrics of unequal names or lengths, options out of range, or a metric that is
        undefined on the examples or on every resample.
    """
    _check(first, second, num_resamples, confidence)
    num_examples = first.num_examples
    group = _group_index(group_id, num_examples)
    everything = np.ones((1, num_examples))
    values = float(first.value(everything)[0]), float(second.value(everything)[0])
    if not np.isfinite(values).all():
        raise ValueError(
            f"bootstrap: got {first.name} {values[0]:g} and {values[1]:g} on all examples, wanted "
            "finite values; leave out classes without both values, and predictions of NaN"
        )
    blocks = _resampled_counts(group, num_resamples, seed)
    differences = np.concatenate([first.value(counts) - second.value(counts) for counts in blocks])
    defined = differences[np.isfinite(differences)]
    if not defined.size:
        raise ValueError(
            f"bootstrap: got {first.name} undefined on all {num_resamples} resamples, wanted some; "
            "score more examples"
        )
    low, high = np.quantile(defined, [(1 - confidence) / 2, (1 + confidence) / 2])
    return BootstrapResult(
        metric=first.name,
        first=values[0],
        second=values[1],
        difference=values[0] - values[1],
        low=float(low),
        high=float(high),
        confidence=confidence,
        num_resamples=num_resamples,
        num_undefined=num_resamples - defined.size,
        num_examples=num_examples,
        num_groups=int(group.max()) + 1,
        seed=seed,
    )


def _group_index(group_id: np.ndarray | None, num_examples: int) -> np.ndarray:
    """Group of each example, numbered from 0."""
    if group_id is None:
        return np.arange(num_examples)
    if np.shape(group_id) != (num_examples,):
        raise ValueError(
            f"bootstrap: got group_id of shape {np.shape(group_id)}, wanted ({num_examples},), one "
            "group for each example"
        )
    return np.unique(group_id, return_inverse=True)[1]


def _resampled_counts(group: np.ndarray, num_resamples: int, seed: int) -> Iterator[np.ndarray]:
    """Blocks of counts `[R, n]`: as many groups as there are, drawn with replacement."""
    rng = np.random.default_rng(seed)
    num_groups = int(group.max()) + 1
    block = max(1, _BLOCK_ENTRIES // group.size)
    for start in range(0, num_resamples, block):
        size = min(block, num_resamples - start)
        drawn = rng.integers(num_groups, size=(size, num_groups))
        cells = drawn + num_groups * np.arange(size)[:, None]
        counts = np.bincount(cells.ravel(), minlength=size * num_groups)
        yield counts.reshape(size, num_groups)[:, group].astype(np.float64)


def _check(first: Metric, second: Metric, num_resamples: int, confidence: float) -> None:
    if first.name != second.name or first.num_examples != second.num_examples:
        raise ValueError(
            f"a paired bootstrap compares one metric on the same examples: got {first.name} of "
            f"{first.num_examples} and {second.name} of {second.num_examples}; score both runs on "
            "one split"
        )
    if num_resamples < 1 or not 0 < confidence < 1:
        raise ValueError(
            f"bootstrap: got {num_resamples} resamples and confidence {confidence}, wanted at "
            "least 1 and a share in (0, 1); 2000 and 0.95 are usual"
        )
