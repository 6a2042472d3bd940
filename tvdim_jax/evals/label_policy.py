"""What becomes of labels of a report labeller that are neither positive nor negative."""

from typing import Literal, NamedTuple, get_args

import numpy as np

POSITIVE, NEGATIVE, UNCERTAIN, UNMENTIONED = 1, 0, -1, -2
Uncertain = Literal["masked", "positive", "negative"]
Unmentioned = Literal["masked", "negative"]


class LabelPolicy(NamedTuple):
    """What becomes of labels that are neither positive nor negative.

    The default is that of the LMI authors; U-Ignore, U-Ones and U-Zeros of CheXpert (Irvin et al.
    2019, arXiv 1901.07031) are `uncertain` "masked", "positive" and "negative".

    Attributes:
      uncertain: "masked" = the entry neither trains nor counts.
      unmentioned: the same for findings of which the report says nothing.
    """

    uncertain: Uncertain = "masked"
    unmentioned: Unmentioned = "masked"


def apply_policy(marks: np.ndarray, policy: LabelPolicy) -> tuple[np.ndarray, np.ndarray]:
    """Labels to train on or to score by.

    Args:
      marks: int `[n, C]` of 1 positive, 0 negative, -1 uncertain, -2 unmentioned.
      policy: for the last two.

    Returns:
      labels and where, bool `[n, C]`, as in LabelledFeatures; a masked label is False.

    Raises:
      ValueError: another mark, or an unknown policy.
    """
    strange = np.setdiff1d(marks, (POSITIVE, NEGATIVE, UNCERTAIN, UNMENTIONED))
    if marks.ndim != 2 or strange.size:
        raise ValueError(
            f"marks of findings: got shape {marks.shape} and values {strange.tolist()} besides the "
            "four, wanted int [n, C] of 1 positive, 0 negative, -1 uncertain, -2 unmentioned; "
            "a blank of the label table is -2"
        )
    fits = policy.uncertain in get_args(Uncertain) and policy.unmentioned in get_args(Unmentioned)
    if not fits:
        raise ValueError(
            f"label policy: got {policy}, wanted uncertain 'masked', 'positive' or 'negative' and "
            "unmentioned 'masked' or 'negative'; LabelPolicy() masks both"
        )
    labels, where = marks == POSITIVE, marks >= NEGATIVE
    if policy.uncertain != "masked":
        where |= marks == UNCERTAIN
    if policy.uncertain == "positive":
        labels |= marks == UNCERTAIN
    if policy.unmentioned == "negative":
        where |= marks == UNMENTIONED
    return labels, where


def policy_text(policy: LabelPolicy) -> str:
    """Such as "uncertain labels masked, unmentioned labels count as negative"."""
    parts = [
        f"{kind} labels {'masked' if value == 'masked' else f'count as {value}'}"
        for kind, value in policy._asdict().items()
    ]
    return ", ".join(parts)
