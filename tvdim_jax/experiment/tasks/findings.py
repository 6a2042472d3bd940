"""AUROC of each finding of a report labeller by a linear probe, under a policy for doubt."""

from collections.abc import Sequence

import numpy as np
from ml_collections import ConfigDict

from tvdim_jax.data.eval_batches import class_names
from tvdim_jax.data.sources.base import KnowsUnmentioned, Source
from tvdim_jax.evals import linear_probe
from tvdim_jax.evals.findings import LMI_FINDINGS, FindingsResult, lmi_mean, score_findings
from tvdim_jax.evals.label_policy import (
    NEGATIVE,
    POSITIVE,
    UNCERTAIN,
    UNMENTIONED,
    LabelPolicy,
    apply_policy,
    policy_text,
)
from tvdim_jax.evals.labelled import LabelledFeatures, one_sided_classes
from tvdim_jax.experiment.data import Splits
from tvdim_jax.experiment.encoders import GLOBAL, LOCAL_MEAN
from tvdim_jax.experiment.tasks.base import (
    Context,
    Examples,
    Outcome,
    Result,
    Task,
    first_rows,
    group_ids,
    limits,
    metric_name,
)
from tvdim_jax.experiment.tasks.labels import missing_labels

_LMI_MEAN = "mean_auc_lmi_nine"


def policy_of(config: ConfigDict, source: Source) -> LabelPolicy:
    """What becomes of labels that are not known: that of the config, where the source has such.

    A source without `unmentioned` says nothing of absence: all that it does not name is negative.
    """
    knows = isinstance(source, KnowsUnmentioned)
    return LabelPolicy(config.eval.uncertain, config.eval.unmentioned if knows else "negative")


def marks_matrix(source: Source, rows: Sequence[int], names: Sequence[str]) -> np.ndarray:
    """Marks of evals.label_policy, int `[n, C]`; see `policy_of` for what a source leaves open."""
    marks = np.full((len(rows), len(names)), NEGATIVE)
    column = {name: number for number, name in enumerate(names)}
    for place, row in enumerate(rows):
        for mark, found in (
            (UNMENTIONED, source.unmentioned(row) if isinstance(source, KnowsUnmentioned) else []),
            (UNCERTAIN, source.ambiguous(row)),
            (POSITIVE, source.labels(row)),
        ):
            marks[place, [column[name] for name in found if name in column]] = mark
    return marks


def findings_of(
    splits: Splits, train_rows: Sequence[int], test_rows: Sequence[int]
) -> tuple[list[str], np.ndarray, np.ndarray]:
    """Names of all findings that are positive somewhere, and the marks of rows of both parts."""
    names = sorted(class_names(splits.train, train_rows) | class_names(splits.test, test_rows))
    return (
        names,
        marks_matrix(splits.train, train_rows, names),
        marks_matrix(splits.test, test_rows, names),
    )


def with_policy(features: np.ndarray, marks: np.ndarray, policy: LabelPolicy) -> LabelledFeatures:
    """Features with the labels that the policy makes of the marks."""
    return LabelledFeatures(features, *apply_policy(marks, policy))


def is_one_class(config: ConfigDict, splits: Splits) -> bool:
    """Whether each image read has one label for sure, of a set that does not tell of absence."""
    return not any(isinstance(source, KnowsUnmentioned) for source in splits) and all(
        len(source.labels(row)) == 1 and not source.ambiguous(row)
        for source, limit in zip(splits, limits(config), strict=True)
        for row in first_rows(config, source, limit)
    )


def missing_values(config: ConfigDict, splits: Splits) -> str | None:
    """See `Task`: labels; where they are several an image, some with both values in both parts."""
    missing = missing_labels(config, splits)
    if missing is not None or is_one_class(config, splits):
        return missing
    rows = (first_rows(config, *part) for part in zip(splits, limits(config), strict=True))
    names, *marks = findings_of(splits, *rows)
    policy = policy_of(config, splits.test)
    one_sided = (
        one_sided_classes(with_policy(np.zeros((len(each), 0)), each, policy)) for each in marks
    )
    if len(set[int]().union(*one_sided)) < len(names):
        return None
    return (
        f"no finding of {splits.test.name} is both positive and negative in the training and in "
        f"the test images, {policy_text(policy)}; read more images or take another "
        "config.eval.uncertain or config.eval.unmentioned"
    )


def _missing(config: ConfigDict, splits: Splits) -> str | None:
    missing = missing_labels(config, splits)
    if missing is None and is_one_class(config, splits):
        return f"each image of {splits.test.name} has one class, which linear_probe scores"
    return missing or missing_values(config, splits)


def _findings(context: Context) -> Outcome:
    rows = context.train.rows.tolist(), context.test.rows.tolist()
    names, fitted_marks, marks = findings_of(context.splits, *rows)
    policy = policy_of(context.config, context.splits.test)
    options = {
        "group_id": group_ids(context.splits.train, rows[0]),
        "seed": context.config.seed,
    }
    result: Result = {"metrics": {}, "details": {}}
    examples = {}
    for kind in (kind for kind in (GLOBAL, LOCAL_MEAN) if kind in context.test.features):
        fitted = with_policy(context.train.features[kind], fitted_marks, policy)
        scored = with_policy(context.test.features[kind], marks, policy)
        try:
            probe, logits = linear_probe.predict(fitted, scored, **options)
        except ValueError as error:
            raise ValueError(f"findings, {policy_text(policy)}: {error}") from error
        found = score_findings(
            logits, marks, names, policy=policy, classes_skipped=one_sided_classes(fitted)
        )
        means = means_of(context.config, found)
        for name, value in means.items():
            result["metrics"][metric_name(kind, name)] = value
        result["details"][kind] = {**found.aucs, **rows_of_means(means)}
        result[kind] = {**found._asdict(), "probe": probe._asdict()}
        known = scored.labels, np.asarray(scored.where)
        examples[kind] = examples_of(context.test.rows, logits, known, found)
    return Outcome(result | counts_and_note(context.config, found), examples)


def means_of(config: ConfigDict, found: FindingsResult) -> dict[str, float]:
    """The mean AUC by its metric's name, on MIMIC-CXR also that of the LMI authors' findings."""
    means = {found.metric: found.value}
    if config.data.source == "mimic_cxr" and (of_lmi := lmi_mean(found)) is not None:
        means[_LMI_MEAN] = of_lmi[0]
    return means


def rows_of_means(means: dict[str, float]) -> dict[str, float]:
    """The same by the names of the table."""
    names = {_LMI_MEAN: "mean of LMI's nine"}
    return {names.get(name, "mean"): value for name, value in means.items()}


def counts_and_note(config: ConfigDict, found: FindingsResult) -> Result:
    """What stands beside the AUROCs and below them."""
    columns = {
        "positive": found.num_positive,
        "negative": found.num_negative,
        "masked": found.num_masked,
    }
    policy = policy_text(LabelPolicy(found.uncertain, found.unmentioned))
    note = f"AUROC; {policy}; {found.num_test:,} images"
    of_lmi = lmi_mean(found)
    if config.data.source == "mimic_cxr" and of_lmi is not None and of_lmi[1] < len(LMI_FINDINGS):
        note += f"; only {of_lmi[1]} of LMI's nine findings could be scored"
    return {
        "counts": {
            name: {column: numbers[name] for column, numbers in columns.items()}
            for name in found.aucs
        },
        "note": note,
    }


def examples_of(
    rows: np.ndarray,
    logits: np.ndarray,
    known: tuple[np.ndarray, np.ndarray],
    found: FindingsResult,
) -> Examples:
    """Those of the findings that have an AUROC.

    Args:
      rows: int64 `[n]`, images.
      logits: `[n, C]`.
      known: bool `[n, C]` twice, labels and where they count, see `apply_policy`.
      found: of these.
    """
    kept = [number for number, auc in enumerate(found.aucs.values()) if auc is not None]
    columns = (array[:, kept] for array in (logits, *known))
    return Examples(rows, tuple(np.array([*found.aucs])[kept].tolist()), *columns)


FINDINGS = Task(
    does="AUROC of each finding on frozen features, global and local",
    run=_findings,
    missing=_missing,
    train=(GLOBAL, LOCAL_MEAN),
    test=(GLOBAL, LOCAL_MEAN),
    takes_pixels=True,
)
