"""Linear probes that learn from 1, 10 and 100 % of the labels."""

import numpy as np

from tvdim_jax.data.sources.base import KnowsSubjects, Source
from tvdim_jax.evals import label_fractions
from tvdim_jax.evals.label_policy import policy_text
from tvdim_jax.evals.labelled import LabelledFeatures
from tvdim_jax.experiment.encoders import GLOBAL, LOCAL_MEAN
from tvdim_jax.experiment.tasks.base import (
    Context,
    Outcome,
    Result,
    Task,
    group_ids,
    metric_name,
)
from tvdim_jax.experiment.tasks.findings import (
    findings_of,
    is_one_class,
    missing_values,
    policy_of,
    with_policy,
)
from tvdim_jax.experiment.tasks.labels import labelled_parts


def _parts(context: Context, kind: str) -> tuple[LabelledFeatures, LabelledFeatures]:
    """Classes where each image has one, else the labels under the policy of the config."""
    train, test = context.train, context.test
    if is_one_class(context.config, context.splits):
        return labelled_parts(train, test, context.splits, kind)
    _, *marks = findings_of(context.splits, train.rows.tolist(), test.rows.tolist())
    policy = policy_of(context.config, context.splits.test)
    fitted, scored = (
        with_policy(images.features[kind], each, policy)
        for images, each in zip((train, test), marks, strict=True)
    )
    return fitted, scored


def _label_fractions(context: Context) -> Outcome:
    result: Result = {"metrics": {}, "details": {}, "probes": {}}
    source, rows = context.splits.train, context.train.rows.tolist()
    group_id = group_ids(source, rows)
    failed: dict[str, None] = {}
    for kind in (kind for kind in (GLOBAL, LOCAL_MEAN) if kind in context.test.features):
        results, reasons = label_fractions.evaluate(
            *_parts(context, kind), group_id=group_id, seed=context.config.seed
        )
        failed |= dict.fromkeys(reasons.values())
        details: dict[float, float | None] = dict.fromkeys(label_fractions.FRACTIONS)
        for found, _ in results:
            details[found.fraction] = found.value
            name = metric_name(kind, f"{found.metric}_{100 * found.fraction:g}%")
            result["metrics"][name] = found.value
            result["probes"][name] = found._asdict()
        result["details"][kind] = {f"{100 * each:g} %": value for each, value in details.items()}
    notes = [_drawn(source, len(rows), np.unique(group_id).size), *_scored(context, found), *failed]
    return Outcome({**result, "note": "; ".join(notes)}, {})


def _drawn(source: Source, num_rows: int, num_groups: int) -> str:
    """What a share is of."""
    if num_groups == num_rows:
        return f"of the labels of {num_rows:,} training images"
    drawn = "subjects" if isinstance(source, KnowsSubjects) else "studies"
    return f"of the {num_groups:,} {drawn} of {num_rows:,} training images"


def _scored(context: Context, found: label_fractions.FractionResult) -> list[str]:
    """What the mean is over, and the policy; nothing where each image has one class."""
    if is_one_class(context.config, context.splits):
        return []
    num_scored, num_findings = len(found.classes_scored), found.probe["num_classes"]
    mean = f"mean AUROC of the {num_scored} of {num_findings} findings that all shares can learn"
    return [mean, policy_text(policy_of(context.config, context.splits.test))]


LABEL_FRACTIONS = Task(
    does="linear probes that learn from 1, 10 and 100 % of the labels",
    run=_label_fractions,
    missing=missing_values,
    train=(GLOBAL, LOCAL_MEAN),
    test=(GLOBAL, LOCAL_MEAN),
    takes_pixels=True,
)
