"""How few labels will do: a linear probe on nested subsets of the training part."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from tvdim_jax.evals import linear_probe
from tvdim_jax.evals.labelled import (
    LabelledFeatures,
    known_entries,
    one_sided_classes,
    take_rows,
)

FRACTIONS = (0.01, 0.1, 1.0)


class FractionResult(NamedTuple):
    """What was measured and by which protocol; `_asdict()` is JSON.

    Attributes:
      metric: "accuracy" or "mean_auc".
      value: of the probe on the whole test part, in [0, 1].
      fraction: share of the training rows whose labels are used.
      num_available: rows of the whole training part.
      classes_lost: classes that the whole training part can teach and the subset cannot.
      subset_seed: of the draw; the smaller subsets of a seed are parts of the larger ones.
      probe: the ProbeResult as a dict.
    """

    metric: str
    value: float
    fraction: float
    num_available: int
    classes_lost: tuple[int, ...]
    subset_seed: int
    probe: dict[str, Any]


def evaluate(
    train: LabelledFeatures,
    test: LabelledFeatures,
    *,
    fractions: Sequence[float] = FRACTIONS,
    seed: int = 0,
) -> list[tuple[FractionResult, np.ndarray]]:
    """Fits a probe on each subset of `train` and scores it on all of `test`.

    Args:
      train: what the subsets are drawn from.
      test: labels of the same kind and classes.
      fractions: shares in (0, 1].
      seed: of the draw and of the probe's validation split.

    Returns:
      For each fraction, the smallest first: the score and the protocol, and the logits `[n, C]` of
      the test rows, see `linear_probe.predict`.

    Raises:
      ValueError: parts that do not fit together, a fraction out of range, or too few rows or
        labels in a subset to choose a penalty by.
    """
    learnable = _learnable(train)
    results = []
    for fraction, rows in nested_subsets(train, fractions=fractions, seed=seed).items():
        subset = take_rows(train, rows)
        try:
            probe, logits = linear_probe.predict(subset, test, seed=seed)
        except ValueError as error:
            raise ValueError(
                f"label fraction {fraction:g}, {rows.size} of {train.labels.shape[0]} rows: {error}"
            ) from error
        result = FractionResult(
            metric=probe.metric,
            value=probe.value,
            fraction=fraction,
            num_available=train.labels.shape[0],
            classes_lost=tuple(sorted(learnable - _learnable(subset))),
            subset_seed=seed,
            probe=probe._asdict(),
        )
        results.append((result, logits))
    return results


def nested_subsets(
    labelled: LabelledFeatures, *, fractions: Sequence[float] = FRACTIONS, seed: int = 0
) -> dict[float, np.ndarray]:
    """Random subsets, each a part of the next, that lose no label value if they can help it.

    Rows are drawn in a random order. A row moves to the front of it if it is the first to show a
    label value (a class with several labels: its positives, its negatives; with one label: the
    class) that no row there shows yet, going from the rarest value to the commonest. So a subset
    differs from a plain random one by the values alone that the latter would miss.

    Args:
      labelled: n rows; only the labels and where they are known matter.
      fractions: shares in (0, 1].
      seed: of the order.

    Returns:
      Fraction -> rows, increasing int `[round(fraction n)]`, at least 1; the smallest first.

    Raises:
      ValueError: a fraction out of range.
    """
    if not fractions or not all(0 < fraction <= 1 for fraction in fractions):
        raise ValueError(
            f"label fractions must be in (0, 1], got {tuple(fractions)}; 0.01 is one percent"
        )
    shows = _values_shown(labelled)
    num_rows = shows.shape[0]
    order = np.random.default_rng(seed).permutation(num_rows)
    front = _rows_to_show_all(shows[order])
    order = np.concatenate([order[front], np.delete(order, front)])
    return {
        fraction: np.sort(order[: max(1, round(fraction * num_rows))])
        for fraction in sorted(map(float, fractions))
    }


def _values_shown(labelled: LabelledFeatures) -> np.ndarray:
    """Which label values each row shows, bool `[n, K]`."""
    if labelled.labels.ndim == 1:
        classes = np.unique(labelled.labels)
        return labelled.labels[:, None] == classes[None, :]
    known = known_entries(labelled)
    return np.concatenate([labelled.labels & known, ~labelled.labels & known], axis=1)


def _rows_to_show_all(shows: np.ndarray) -> list[int]:
    """See `nested_subsets`."""
    front: list[int] = []
    for value in np.argsort(shows.sum(axis=0), kind="stable"):
        if shows[:, value].any() and not shows[front, value].any():
            front.append(int(np.argmax(shows[:, value])))
    return front


def _learnable(labelled: LabelledFeatures) -> set[int]:
    """Classes with both values, or with one label those that occur."""
    if labelled.labels.ndim == 1:
        return set(np.unique(labelled.labels).tolist())
    return set(range(labelled.labels.shape[1])) - set(one_sided_classes(labelled))
