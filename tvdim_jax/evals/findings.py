"""AUROC of every finding of a report labeller, with the policy for labels that are not known."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from tvdim_jax.evals.auc import class_aucs
from tvdim_jax.evals.label_policy import (
    LabelPolicy,
    Uncertain,
    Unmentioned,
    apply_policy,
    policy_text,
)

# The nine of the authors of LMI (github.com/RayRuizhiLiao/resnet_chestxray).
LMI_FINDINGS = (
    *("Atelectasis", "Cardiomegaly", "Consolidation", "Edema", "Lung Opacity"),
    *("Pleural Effusion", "Pneumonia", "Pneumothorax", "Support Devices"),
)


class FindingsResult(NamedTuple):
    """What was measured and by which protocol; `_asdict()` is JSON.

    Attributes:
      metric: "mean_auc".
      value: plain mean of the AUCs over the findings that were not skipped, in [0, 1].
      aucs: by finding, None where it was skipped.
      num_positive: by finding, images that count as positive.
      num_negative: by finding, images that count as negative.
      num_masked: by finding, images that do not count.
      uncertain: see LabelPolicy.
      unmentioned: see LabelPolicy.
      num_test: images.
      findings_skipped: not to be learned, or without both values here.
    """

    metric: str
    value: float
    aucs: dict[str, float | None]
    num_positive: dict[str, int]
    num_negative: dict[str, int]
    num_masked: dict[str, int]
    uncertain: Uncertain
    unmentioned: Unmentioned
    num_test: int
    findings_skipped: tuple[str, ...]


def score_findings(
    scores: np.ndarray,
    marks: np.ndarray,
    names: Sequence[str],
    *,
    policy: LabelPolicy,
    classes_skipped: Sequence[int] = (),
) -> FindingsResult:
    """AUC finding by finding, over the labels that the policy makes known.

    Args:
      scores: `[n, C]`, larger means more likely; such as the logits of `linear_probe.predict` or
        of a fine-tuned classifier.
      marks: int `[n, C]`, see `apply_policy`.
      names: C findings.
      policy: by which the scored labels are made; train by the same.
      classes_skipped: columns to leave out besides those without both values here: those that
        could not be learned.

    Returns:
      The score and the protocol.

    Raises:
      ValueError: shapes that do not fit together, scores that are not finite, or no finding with
        both values.
    """
    _check_scores(scores, marks, names)
    labels, where = apply_policy(marks, policy)
    aucs = class_aucs(scores, labels, where)
    aucs[list(classes_skipped)] = np.nan
    skipped = np.isnan(aucs)
    if skipped.all():
        raise ValueError(
            f"AUROC is undefined: got {len(names)} findings, none to score with both values under "
            f"the policy: {policy_text(policy)}; score more images or take another policy"
        )

    def by_name(counts: np.ndarray) -> dict[str, int]:
        return dict(zip(names, counts.sum(axis=0).tolist(), strict=True))

    return FindingsResult(
        metric="mean_auc",
        value=float(aucs[~skipped].mean()),
        aucs={
            name: None if np.isnan(auc) else float(auc)
            for name, auc in zip(names, aucs, strict=True)
        },
        num_positive=by_name(labels & where),
        num_negative=by_name(~labels & where),
        num_masked=by_name(~where),
        uncertain=policy.uncertain,
        unmentioned=policy.unmentioned,
        num_test=marks.shape[0],
        findings_skipped=tuple(np.asarray(names)[skipped].tolist()),
    )


def lmi_mean(result: FindingsResult) -> tuple[float, int] | None:
    """Mean AUC over those of LMI_FINDINGS that were scored, and how many; None where none was."""
    aucs = [result.aucs.get(name) for name in LMI_FINDINGS]
    scored = [auc for auc in aucs if auc is not None]
    return (float(np.mean(scored)), len(scored)) if scored else None


def findings_table(result: FindingsResult) -> str:
    """The AUCs as text, one finding a line, the policy below."""
    width = max(len("mean of 00"), *map(len, result.aucs))
    lines = [f"{'finding':<{width}}  AUROC  positive  negative  masked"]
    for name, auc in result.aucs.items():
        value = "    -" if auc is None else f"{auc:.3f}"
        counts = (
            f"{result.num_positive[name]:>8,}  {result.num_negative[name]:>8,}  "
            f"{result.num_masked[name]:>6,}"
        )
        lines.append(f"{name:<{width}}  {value}  {counts}")
    num_scored = len(result.aucs) - len(result.findings_skipped)
    lines.append(f"{f'mean of {num_scored}':<{width}}  {result.value:.3f}")
    policy = policy_text(LabelPolicy(result.uncertain, result.unmentioned))
    lines.append(f"{policy}; {result.num_test:,} images")
    return "\n".join(lines)


def _check_scores(scores: np.ndarray, marks: np.ndarray, names: Sequence[str]) -> None:
    if not scores.shape == marks.shape == (*marks.shape[:1], len(set(names))):
        raise ValueError(
            f"findings: got scores of shape {scores.shape}, marks of shape {marks.shape} and "
            f"{len(names)} names, wanted [n, C] twice and C different names; select all by image_id"
        )
    if not np.isfinite(scores).all():
        raise ValueError(
            f"findings: got {int((~np.isfinite(scores)).sum())} scores that are NaN or infinite, "
            "wanted finite ones; evaluate an earlier checkpoint"
        )
