"""A labelled set of frozen features, and how predictions for it are scored."""

from typing import NamedTuple

import numpy as np

from tvdim_jax.evals.accuracy import class_mean_accuracy
from tvdim_jax.evals.auc import class_aucs
from tvdim_jax.evals.features import check_features


class LabelledFeatures(NamedTuple):
    """Features with their labels.

    Attributes:
      features: float32 `[n, D]`.
      labels: int `[n]` in [0, C) for one label per image, or bool `[n, C]` for several.
      where: only with several labels: bool `[n, C]`, False = ambiguous, the entry neither trains
        nor counts. None = every entry is known.
    """

    features: np.ndarray
    labels: np.ndarray
    where: np.ndarray | None = None


class Score(NamedTuple):
    """How good predictions are.

    Attributes:
      metric: of one label "accuracy" (top 1) or "class_mean_accuracy"; of several "mean_auc", the
        plain mean over the classes that were not skipped.
      value: in [0, 1].
      classes_skipped: classes whose AUC is undefined here, left out of the mean.
    """

    metric: str
    value: float
    classes_skipped: tuple[int, ...]


def known_entries(labelled: LabelledFeatures) -> np.ndarray:
    """Where the label is known: bool, shape of the labels."""
    if labelled.where is None:
        return np.ones(labelled.labels.shape, dtype=bool)
    return np.asarray(labelled.where, dtype=bool)


def take_rows(labelled: LabelledFeatures, rows: np.ndarray) -> LabelledFeatures:
    """Some rows of a labelled set, by number `[m]` or by bool `[n]`."""
    where = None if labelled.where is None else labelled.where[rows]
    return LabelledFeatures(labelled.features[rows], labelled.labels[rows], where)


def score_predictions(
    scores: np.ndarray,
    labelled: LabelledFeatures,
    classes_skipped: tuple[int, ...] = (),
    *,
    class_mean: bool = False,
) -> Score:
    """Accuracy or mean AUC of class scores.

    Args:
      scores: `[n, C]`, larger means more likely.
      labelled: the n examples.
      classes_skipped: several labels: classes to leave out besides those without both values here.
      class_mean: one label: the mean over the classes that occur instead of that over the rows.

    Returns:
      The score; ties of the top score go to the first class.

    Raises:
      ValueError: several labels and no class has both values.
    """
    if labelled.labels.ndim == 1:
        predicted = scores.argmax(axis=1)
        if class_mean:
            return Score("class_mean_accuracy", class_mean_accuracy(predicted, labelled.labels), ())
        return Score("accuracy", float(np.mean(predicted == labelled.labels)), ())
    aucs = class_aucs(scores, labelled.labels, known_entries(labelled))
    skipped = np.isnan(aucs)
    skipped[list(classes_skipped)] = True
    if skipped.all():
        raise ValueError(
            f"mean AUC is undefined: got {aucs.size} classes, none with both a positive and a "
            "negative known label; evaluate on more examples or drop rare labels"
        )
    return Score("mean_auc", float(aucs[~skipped].mean()), tuple(np.flatnonzero(skipped).tolist()))


def one_sided_classes(labelled: LabelledFeatures) -> tuple[int, ...]:
    """Classes (several labels) without both values among the known labels: nothing to learn."""
    known = known_entries(labelled)
    has_positive = (labelled.labels & known).any(axis=0)
    has_negative = (~labelled.labels & known).any(axis=0)
    return tuple(np.flatnonzero(~(has_positive & has_negative)).tolist())


def check_pair(train: LabelledFeatures, test: LabelledFeatures) -> int:
    """Checks the two parts of an evaluation against each other.

    Args:
      train: the part that teaches.
      test: the part that is scored.

    Returns:
      The number of classes C.

    Raises:
      ValueError: features that are not finite, shapes or label kinds that do not fit together, or
        a negative class.
    """
    for part, name in ((train, "train"), (test, "test")):
        check_features(part.features, f"{name} features")
        if part.labels.shape[0] != part.features.shape[0]:
            raise ValueError(
                f"{name} labels must have one row per feature vector: got {part.labels.shape[0]} "
                f"labels, wanted {part.features.shape[0]}; select both by image_id"
            )
        if part.where is not None and (
            part.labels.ndim != 2 or part.where.shape != part.labels.shape
        ):
            raise ValueError(
                f"{name} where masks the entries of [n, C] labels: got shape {part.where.shape} "
                f"for labels of shape {part.labels.shape}; wanted the same two axes"
            )
    _check_widths(train, test)
    if train.labels.ndim == 2:
        return int(train.labels.shape[1])
    lowest = min(int(train.labels.min()), int(test.labels.min()))
    if lowest < 0:
        raise ValueError(
            f"class labels must be >= 0, got {lowest}; leave unlabelled rows out of both parts"
        )
    return 1 + max(int(train.labels.max()), int(test.labels.max()))


def _check_widths(train: LabelledFeatures, test: LabelledFeatures) -> None:
    """One width D, one kind of labels, one number of label columns."""
    if train.features.shape[1] != test.features.shape[1]:
        raise ValueError(
            f"train and test features differ in width: got {train.features.shape[1]} and "
            f"{test.features.shape[1]}, wanted one encoder; extract both with the same embed"
        )
    same_classes = train.labels.shape[1:] == test.labels.shape[1:]
    fits_kind = [
        (part.labels.ndim, part.labels.dtype.kind) in {(1, "i"), (2, "b")} for part in (train, test)
    ]
    if not same_classes or not all(fits_kind):
        raise ValueError(
            "labels must be int [n] (one per image) or bool [n, C] (several), alike in both parts: "
            f"got {train.labels.dtype} {train.labels.shape} and "
            f"{test.labels.dtype} {test.labels.shape}; encode both with one list of classes"
        )
