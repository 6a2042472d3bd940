"""Linear probe: L2-penalised logistic regression on frozen features, fitted by L-BFGS.

Protocol, the same for every encoder and baseline: features standardised by the mean and standard
deviation of the rows they are fitted on; full-batch L-BFGS; the penalty chosen on a seeded random
split of the training part, by whole groups where they are given; a refit on the whole training
part; one look at the test part.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from tvdim_jax.evals.labelled import (
    LabelledFeatures,
    check_pair,
    known_entries,
    one_sided_classes,
    score_predictions,
)
from tvdim_jax.evals.logistic import LogisticFit, fit_logistic, make_problem

_SWEEP_TOLERANCE = 1e-5  # enough to choose by; the final fit is tighter
_BLOCK = 64  # coordinates whose deviation is measured at a time
PENALTIES = (1e4, 1e3, 1e2, 1e1, 1e0, 1e-1)


class ProbeResult(NamedTuple):
    """What was measured and by which protocol; `_asdict()` is JSON.

    Attributes:
      metric: "accuracy", "class_mean_accuracy" or "mean_auc".
      value: of the refitted probe on the test part, in [0, 1].
      penalty: the chosen L2 penalty (scikit-learn's 1 / C).
      validation_score: the metric at that penalty on the held-out split of the training part.
      penalties: all that were tried, strongest first.
      validation_scores: one per penalty.
      num_train: rows of the training part, fit and validation split together.
      num_validation: rows of its validation split.
      num_test: rows of the test part.
      num_features: width D.
      num_classes: C, skipped ones included.
      classes_skipped: several labels: classes without both values in the training or the test part.
      seed: of the split.
      converged: whether the final fit met its tolerance.
    """

    metric: str
    value: float
    penalty: float
    validation_score: float
    penalties: tuple[float, ...]
    validation_scores: tuple[float, ...]
    num_train: int
    num_validation: int
    num_test: int
    num_features: int
    num_classes: int
    classes_skipped: tuple[int, ...]
    seed: int
    converged: bool


def evaluate(
    train: LabelledFeatures,
    test: LabelledFeatures,
    *,
    penalties: Sequence[float] = PENALTIES,
    validation_share: float = 0.2,
    group_id: np.ndarray | None = None,
    class_mean: bool = False,
    seed: int = 0,
) -> ProbeResult:
    """Fits a probe on `train` and scores it on `test`.

    Args:
      train: at least 2 rows.
      test: labels of the same kind and classes.
      penalties: L2 penalties to choose from, > 0; of equal scores the strongest wins.
      validation_share: share of the training rows, or of their groups, held out for the choice, in
        (0, 1).
      group_id: int `[n]`, equal = rows on one side of the split, such as the images of a patient,
        who would else be recognised; None = every row by itself.
      class_mean: one label: choose the penalty by, and give, the mean accuracy over the classes
        instead of that over the rows.
      seed: of the random split.

    Returns:
      The score and the protocol.

    Raises:
      ValueError: parts that do not fit together, or too few rows or groups to split.
    """
    return predict(
        train,
        test,
        penalties=penalties,
        validation_share=validation_share,
        group_id=group_id,
        class_mean=class_mean,
        seed=seed,
    )[0]


def predict(
    train: LabelledFeatures,
    test: LabelledFeatures,
    *,
    penalties: Sequence[float] = PENALTIES,
    validation_share: float = 0.2,
    group_id: np.ndarray | None = None,
    class_mean: bool = False,
    seed: int = 0,
) -> tuple[ProbeResult, np.ndarray]:
    """`evaluate`, and what the probe says of every row of `test`, for scores of another kind.

    Arguments and errors are those of `evaluate`.

    Returns:
      The score and the protocol, and float32 logits `[n, C]` of the n test rows: into a softmax for
      one label, into a sigmoid each for several.
    """
    num_classes = check_pair(train, test)
    penalties = tuple(sorted((float(penalty) for penalty in penalties), reverse=True))
    groups = np.arange(train.features.shape[0]) if group_id is None else group_id
    held_out = _held_out_rows(groups, validation_share, seed)
    fits, scores = _sweep(train, held_out, num_classes, penalties, class_mean=class_mean)
    best = int(np.argmax(scores))

    mean, std = _standardisation(train.features)
    everything = train._replace(features=(train.features - mean) / std)
    final = fit_logistic(make_problem(everything), num_classes, penalties[best], start=fits[best])
    unlearnable = one_sided_classes(train) if train.labels.ndim == 2 else ()
    logits = final.logits((test.features - mean) / std)
    score = score_predictions(logits, test, unlearnable, class_mean=class_mean)
    result = ProbeResult(
        metric=score.metric,
        value=score.value,
        penalty=penalties[best],
        validation_score=scores[best],
        penalties=penalties,
        validation_scores=tuple(scores),
        num_train=train.features.shape[0],
        num_validation=int(held_out.sum()),
        num_test=test.features.shape[0],
        num_features=train.features.shape[1],
        num_classes=num_classes,
        classes_skipped=score.classes_skipped,
        seed=seed,
        converged=final.converged,
    )
    return result, logits


def _held_out_rows(group_id: np.ndarray, share: float, seed: int) -> np.ndarray:
    """The validation split as bool `[n]`; at least one group on either side."""
    groups, group = np.unique(group_id, return_inverse=True)
    if groups.size < 2:
        wanted = "rows" if group_id.size < 2 else "groups of rows, such as patients,"
        raise ValueError(
            f"a linear probe needs 2 training {wanted} to hold one out, got {groups.size}; "
            "label more examples"
        )
    num_held_out = min(max(1, round(share * groups.size)), groups.size - 1)
    drawn = np.random.default_rng(seed).permutation(groups.size)[:num_held_out]
    return np.isin(group, drawn)


def _sweep(
    train: LabelledFeatures,
    held_out: np.ndarray,
    num_classes: int,
    penalties: Sequence[float],
    *,
    class_mean: bool,
) -> tuple[list[LogisticFit], list[float]]:
    """A fit without the held-out rows and its score on them, for each penalty."""
    mean, std = _standardisation(train.features[~held_out])
    inputs = train._replace(features=(train.features - mean) / std)
    validation = LabelledFeatures(
        inputs.features[held_out], train.labels[held_out], known_entries(train)[held_out]
    )
    problem = make_problem(inputs, rows=~held_out)
    fits: list[LogisticFit] = []
    scores: list[float] = []
    for penalty in penalties:  # from strong to weak, each warm from the last
        start = fits[-1] if fits else None
        fit = fit_logistic(problem, num_classes, penalty, start=start, tolerance=_SWEEP_TOLERANCE)
        fits.append(fit)
        logits = fit.logits(validation.features)
        scores.append(score_predictions(logits, validation, class_mean=class_mean).value)
    return fits, scores


def _standardisation(features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of each coordinate, float32 `[D]`; constant ones divide by 1."""
    mean = features.mean(axis=0, dtype=np.float64)
    # In blocks, as numpy makes a float64 copy of what it takes the deviation of.
    blocks = np.split(features, range(_BLOCK, features.shape[1], _BLOCK), axis=1)
    std = np.concatenate([block.std(axis=0, dtype=np.float64) for block in blocks])
    # Rounding noise of a constant coordinate must not be blown up to unit variance.
    std = np.where(std > 1e-6 * np.abs(mean), std, 1.0)
    return mean.astype(np.float32), std.astype(np.float32)
