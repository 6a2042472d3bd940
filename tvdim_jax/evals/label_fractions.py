"""How few labels will do: a linear probe on nested subsets of the training part."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from tvdim_jax.evals import linear_probe
from tvdim_jax.evals.labelled import (
    LabelledFeatures,
    known_entries,
    one_sided_classes,
    score_predictions,
    take_rows,
)

FRACTIONS = (0.01, 0.1, 1.0)


class FractionResult(NamedTuple):
    """What was measured and by which protocol; `_asdict()` is JSON.

    Attributes:
      metric: "accuracy" or "mean_auc".
      value: of the probe on the whole test part, in [0, 1]; of several labels the mean over
        `classes_scored`, so that fewer labels never look better for what they cannot learn.
      fraction: share of the training rows whose labels are used.
      num_available: rows of the whole training part.
      classes_scored: several labels: classes that every fraction can learn and the test part score.
      classes_lost: classes that the whole training part can teach and the subset cannot.
      subset_seed: of the draw; the smaller subsets of a seed are parts of the larger ones.
      probe: the ProbeResult as a dict; its value is over all classes that this fraction learns.
    """

    metric: str
    value: float
    fraction: float
    num_available: int
    classes_scored: tuple[int, ...]
    classes_lost: tuple[int, ...]
    subset_seed: int
    probe: dict[str, Any]


def evaluate(
    train: LabelledFeatures,
    test: LabelledFeatures,
    *,
    fractions: Sequence[float] = FRACTIONS,
    group_id: np.ndarray | None = None,
    seed: int = 0,
) -> tuple[list[tuple[FractionResult, np.ndarray]], dict[float, str]]:
    """Fits a probe on each subset of `train` and scores it on all of `test`.

    Args:
      train: what the subsets are drawn from.
      test: labels of the same kind and classes.
      fractions: shares in (0, 1].
      group_id: see `nested_subsets` and `linear_probe.evaluate`.
      seed: of the draw and of the probe's validation split.

    Returns:
      For each fraction that can be scored, the smallest first: the score and the protocol, and the
      logits `[n, C]` of the test rows, see `linear_probe.predict`. And for each other fraction why
      it cannot: too few rows or labels to choose a penalty by.

    Raises:
      ValueError: a fraction out of range, or none can be scored, such as of parts that do not fit
        together.
    """
    subsets = nested_subsets(train, fractions=fractions, group_id=group_id, seed=seed)
    fitted, failed = {}, {}
    for fraction, rows in subsets.items():
        groups = None if group_id is None else group_id[rows]
        try:
            fitted[fraction] = linear_probe.predict(
                take_rows(train, rows), test, group_id=groups, seed=seed
            )
        except ValueError as error:
            failed[fraction] = (
                f"label fraction {fraction:g}, {rows.size} of {train.labels.shape[0]} rows: {error}"
            )
    if not fitted:
        raise ValueError("; ".join(failed.values()))
    skipped = {each for probe, _ in fitted.values() for each in probe.classes_skipped}
    learnable = _learnable(train)
    results = [
        (
            FractionResult(
                metric=probe.metric,
                value=score_predictions(logits, test, tuple(sorted(skipped))).value,
                fraction=fraction,
                num_available=train.labels.shape[0],
                classes_scored=_others(skipped, test),
                classes_lost=tuple(
                    sorted(learnable - _learnable(take_rows(train, subsets[fraction])))
                ),
                subset_seed=seed,
                probe=probe._asdict(),
            ),
            logits,
        )
        for fraction, (probe, logits) in fitted.items()
    ]
    return results, failed


def _others(skipped: set[int], test: LabelledFeatures) -> tuple[int, ...]:
    """See `FractionResult.classes_scored`."""
    if test.labels.ndim == 1:
        return ()
    return tuple(each for each in range(test.labels.shape[1]) if each not in skipped)


def nested_subsets(
    labelled: LabelledFeatures,
    *,
    fractions: Sequence[float] = FRACTIONS,
    group_id: np.ndarray | None = None,
    seed: int = 0,
) -> dict[float, np.ndarray]:
    """Random subsets, each a part of the next, that lose no label value if they can help it.

    Groups are drawn in a random order. A group moves to the front of it if it is the first to show
    a label value (a class with several labels: its positives, its negatives; with one label: the
    class) that no group there shows yet, going from the rarest value to the commonest. So a subset
    differs from a plain random one by the values alone that the latter would miss.

    Args:
      labelled: n rows; only the labels and where they are known matter.
      fractions: shares in (0, 1].
      group_id: int `[n]`, equal = drawn together, such as the images of a patient, whom somebody
        labels as a whole; None = every row by itself.
      seed: of the order.

    Returns:
      Fraction -> increasing rows, int, of that share of the G groups: `round(fraction G)`, at least
      1; the smallest first.

    Raises:
      ValueError: a fraction out of range.
    """
    if not fractions or not all(0 < fraction <= 1 for fraction in fractions):
        raise ValueError(
            f"label fractions must be in (0, 1], got {tuple(fractions)}; 0.01 is one percent"
        )
    of_rows = _values_shown(labelled)
    groups = np.arange(len(of_rows)) if group_id is None else group_id
    names, group = np.unique(groups, return_inverse=True)
    shows = np.zeros((len(names), of_rows.shape[1]), bool)
    np.logical_or.at(shows, group, of_rows)
    order = np.random.default_rng(seed).permutation(len(shows))
    front = _first_to_show_all(shows[order])
    order = np.concatenate([order[front], np.delete(order, front)])
    return {
        fraction: np.flatnonzero(np.isin(group, order[: max(1, round(fraction * len(shows)))]))
        for fraction in sorted(map(float, fractions))
    }


def _values_shown(labelled: LabelledFeatures) -> np.ndarray:
    """Which label values each row shows, bool `[n, K]`."""
    if labelled.labels.ndim == 1:
        classes = np.unique(labelled.labels)
        return labelled.labels[:, None] == classes[None, :]
    known = known_entries(labelled)
    return np.concatenate([labelled.labels & known, ~labelled.labels & known], axis=1)


def _first_to_show_all(shows: np.ndarray) -> list[int]:
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
