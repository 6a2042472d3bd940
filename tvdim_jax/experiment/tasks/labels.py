"""Linear probe and kNN of the global features on the labels of the set."""

import numpy as np
from ml_collections import ConfigDict

from tvdim_jax.data.eval_batches import class_names, labels_matrix
from tvdim_jax.evals import knn, linear_probe
from tvdim_jax.evals.accuracy import class_mean_accuracy, top_k_accuracy
from tvdim_jax.evals.average_precision import mean_average_precision
from tvdim_jax.evals.label_policy import LabelPolicy, policy_text
from tvdim_jax.evals.labelled import LabelledFeatures, known_entries
from tvdim_jax.evals.linear_probe import ProbeResult
from tvdim_jax.experiment.data import Splits
from tvdim_jax.experiment.encoders import GLOBAL
from tvdim_jax.experiment.tasks.base import (
    Context,
    Examples,
    Images,
    Outcome,
    Result,
    Task,
    first_rows,
    group_ids,
    limits,
    record,
)

NUM_NEIGHBORS = 20  # of kNN, or the whole training part where it is smaller
# What `labelled_parts` does where an image has several labels.
POLICY_TEXT = policy_text(LabelPolicy("masked", "negative"))


def labelled_parts(
    train: Images, test: Images, splits: Splits, kind: str = GLOBAL
) -> tuple[LabelledFeatures, LabelledFeatures]:
    """Features of both parts with their labels: one an image if all images are such, else several.

    Raises:
      ValueError: a part without labels.
    """
    rows = train.rows.tolist(), test.rows.tolist()
    names = _names_of_classes(train, test, splits)
    fitted, scored = (
        LabelledFeatures(images.features[kind], *labels_matrix(source, part, names))
        for images, source, part in zip((train, test), splits, rows, strict=True)
    )
    if not (has_one_label(fitted) and has_one_label(scored)):
        return fitted, scored
    fitted, scored = (
        LabelledFeatures(part.features, part.labels.argmax(axis=1)) for part in (fitted, scored)
    )
    return fitted, scored


def _names_of_classes(train: Images, test: Images, splits: Splits) -> list[str]:
    """Of all classes in either part, sorted; ValueError for a part without labels."""
    rows = train.rows.tolist(), test.rows.tolist()
    occurring = [class_names(*part) for part in zip(splits, rows, strict=True)]
    if not all(occurring):
        raise ValueError(
            f"labels: got {len(occurring[0])} classes in the training and {len(occurring[1])} in "
            f"the test images of {splits.test.name}, wanted at least 1 in each; label more images"
        )
    return sorted(set.union(*occurring))


def has_one_label(part: LabelledFeatures) -> bool:
    """Whether each image has exactly one label, known for sure: a classification."""
    return bool((part.labels.sum(axis=1) == 1).all() and np.all(part.where))


def missing_labels(config: ConfigDict, splits: Splits) -> str | None:
    """See `Task`: both parts need labels."""
    for part, source, limit in zip(("training", "test"), splits, limits(config), strict=True):
        if not any(source.labels(row) for row in first_rows(config, source, limit)):
            return f"the {part} part of {source.name} has no labels"
    return None


def _linear_probe(context: Context) -> Outcome:
    fitted, scored = labelled_parts(context.train, context.test, context.splits)
    group_id = group_ids(context.splits.train, context.train.rows.tolist())
    probe, logits = linear_probe.predict(
        fitted, scored, group_id=group_id, seed=context.config.seed
    )
    result = record(probe._asdict())
    result["chance"] = _chance(scored, probe.num_classes)
    result["note"] = _probe_note(probe)
    if scored.labels.ndim == 1:
        result["class_mean_accuracy"] = class_mean_accuracy(logits.argmax(axis=1), scored.labels)
        if probe.num_classes >= 5:
            result["top_5_accuracy"] = top_k_accuracy(logits, scored.labels, 5)
    else:
        _add_of_several(result, logits, scored, probe.classes_skipped)
    return Outcome(result, {GLOBAL: _examples(context, scored, logits, probe.classes_skipped)})


def _chance(scored: LabelledFeatures, num_classes: int) -> dict[str, float]:
    """Of guesses that look at nothing, each class as often."""
    return {"accuracy": 1 / num_classes} if scored.labels.ndim == 1 else {"mean_auc": 0.5}


def _probe_note(probe: ProbeResult) -> str:
    """How the penalty was chosen, and what may be wrong with it."""
    strongest, weakest = probe.penalties[0], probe.penalties[-1]
    note = (
        f"L-BFGS, penalty {probe.penalty:g} of {strongest:g} to {weakest:g}, by "
        f"{probe.metric.replace('_', ' ')} {probe.validation_score:.1%} on "
        f"{probe.num_validation:,} of the {probe.num_train:,} training images; "
        f"{probe.num_test:,} test images"
    )
    still_rising = {
        "stronger": probe.validation_scores[0] > max(probe.validation_scores[1:]),
        "weaker": probe.penalty == weakest,
    }
    for name, rising in still_rising.items():
        if rising:
            note += f"; a {name} penalty, which was not tried, may be better"
    return note if probe.converged else f"{note}; L-BFGS has not converged"


def _add_of_several(
    result: Result, scores: np.ndarray, scored: LabelledFeatures, skipped: tuple[int, ...]
) -> None:
    """Adds what is said of several labels an image: mAP, and what unknown labels count as."""
    result["metrics"]["mAP"] = mean_average_precision(
        scores, scored.labels, scored.where, classes_skipped=skipped
    )
    result["note"] += f"; {POLICY_TEXT}"


def _knn(context: Context) -> Outcome:
    parts = labelled_parts(context.train, context.test, context.splits)
    num_neighbors = min(NUM_NEIGHBORS, len(context.train.rows))
    nearest, class_scores = knn.predict(*parts, num_neighbors=num_neighbors)
    result = record(nearest._asdict())
    result["chance"] = _chance(parts[1], nearest.num_classes)
    result["note"] = (
        f"{num_neighbors} nearest by cosine, votes exp(cosine / {nearest.temperature:g}); "
        f"{nearest.num_train:,} training and {nearest.num_test:,} test images"
    )
    if parts[1].labels.ndim == 2:
        _add_of_several(result, class_scores, parts[1], nearest.classes_skipped)
    examples = _examples(context, parts[1], class_scores, nearest.classes_skipped)
    return Outcome(result, {GLOBAL: examples})


def _examples(
    context: Context, scored: LabelledFeatures, scores: np.ndarray, skipped: tuple[int, ...]
) -> Examples:
    """Right or wrong where an image has one label, else the scores that rank each class's images.

    Args:
      context: of the task.
      scored: its test part.
      scores: `[n, C]`, of the classes of `labelled_parts`.
      skipped: those of several labels that do not count.
    """
    rows = context.test.rows
    if scored.labels.ndim == 1:
        right = (scores.argmax(axis=1) == scored.labels)[:, None]
        return Examples(rows, ("accuracy",), right, None, np.ones_like(right))
    names = _names_of_classes(context.train, context.test, context.splits)
    kept = np.setdiff1d(np.arange(len(names)), skipped)
    columns = (array[:, kept] for array in (scores, scored.labels, known_entries(scored)))
    return Examples(rows, tuple(names[each] for each in kept), *columns)


LINEAR_PROBE = Task(
    does="labels by a linear classifier on frozen features",
    run=_linear_probe,
    missing=missing_labels,
    train=(GLOBAL,),
    test=(GLOBAL,),
    takes_pixels=True,
)
KNN = Task(
    does="labels by the nearest neighbours, without training",
    run=_knn,
    missing=missing_labels,
    train=(GLOBAL,),
    test=(GLOBAL,),
    takes_pixels=True,
)
