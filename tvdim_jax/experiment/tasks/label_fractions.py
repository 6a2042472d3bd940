"""Linear probes that learn from 1, 10 and 100 % of the labels."""

from ml_collections import ConfigDict

from tvdim_jax.evals import label_fractions
from tvdim_jax.evals.label_policy import policy_text
from tvdim_jax.evals.labelled import LabelledFeatures
from tvdim_jax.experiment.data import Splits
from tvdim_jax.experiment.encoders import GLOBAL, LOCAL_MEAN
from tvdim_jax.experiment.tasks.base import Context, Outcome, Result, Task, metric_name
from tvdim_jax.experiment.tasks.findings import (
    findings_of,
    is_one_class,
    missing_values,
    policy_of,
    with_policy,
)
from tvdim_jax.experiment.tasks.labels import labelled_parts, missing_labels


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


def _missing(config: ConfigDict, splits: Splits) -> str | None:
    if is_one_class(config, splits):
        return missing_labels(config, splits)
    return missing_values(config, splits)


def _label_fractions(context: Context) -> Outcome:
    result: Result = {"metrics": {}, "details": {}, "probes": {}}
    notes = [f"of the labels of {len(context.train.rows):,} training images"]
    if not is_one_class(context.config, context.splits):
        notes.append(policy_text(policy_of(context.config, context.splits.test)))
    failed: list[str] = []
    for kind in (kind for kind in (GLOBAL, LOCAL_MEAN) if kind in context.test.features):
        parts = _parts(context, kind)
        details: dict[str, float | None] = {}
        for fraction in label_fractions.FRACTIONS:
            percent = f"{100 * fraction:g} %"
            try:
                ((found, _),) = label_fractions.evaluate(
                    *parts, fractions=(fraction,), seed=context.config.seed
                )
            except ValueError as error:
                details[percent] = None
                if str(error) not in failed:
                    failed.append(str(error))
                continue
            details[percent] = found.value
            name = f"{found.metric}_{100 * fraction:g}%"
            result["metrics"][metric_name(kind, name)] = found.value
            result["probes"][metric_name(kind, name)] = found._asdict()
        result["details"][kind] = details
    if not result["metrics"]:
        raise ValueError("; ".join(failed))
    return Outcome({**result, "note": "; ".join([*notes, *failed])}, {})


LABEL_FRACTIONS = Task(
    does="linear probes that learn from 1, 10 and 100 % of the labels",
    run=_label_fractions,
    missing=_missing,
    train=(GLOBAL, LOCAL_MEAN),
    test=(GLOBAL, LOCAL_MEAN),
    takes_pixels=True,
)
