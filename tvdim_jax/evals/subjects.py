"""No patient on both sides of an evaluation."""

import numpy as np

_NAMED = 10


def check_disjoint_subjects(train: np.ndarray, test: np.ndarray) -> None:
    """Refuses a split that has a subject on both sides: it scores how well people are recognised.

    Args:
      train: `[n]`, the subject of every training row; numbers or names.
      test: `[m]`, the subject of every test row, named alike.

    Raises:
      ValueError: subjects in both, the first ten of them named.
    """
    shared = np.intersect1d(train, test).tolist()
    if shared:
        more = f" and {len(shared) - _NAMED} more" if len(shared) > _NAMED else ""
        named = ", ".join(map(str, shared[:_NAMED]))
        raise ValueError(
            f"train and test must not share subjects: got {len(shared)} in both: {named}{more}; "
            "keep all images of a subject on one side, as the official split does"
        )
