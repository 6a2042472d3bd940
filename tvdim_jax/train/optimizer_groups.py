"""One optimizer for each group of parameters, a group being some top names of the tree."""

from collections.abc import Callable, Mapping
from typing import Any

import optax


def make_grouped_optimizer(
    groups: Mapping[str, optax.GradientTransformation], label_of: Callable[[str], str]
) -> optax.GradientTransformation:
    """Runs each group of parameters through its own optimizer, as if it were alone.

    A clip by the global norm inside a group sees the norm of that group. A group without any
    parameter is left alone.

    Args:
      groups: name of a group -> its optimizer.
      label_of: top name of the params tree -> name of its group; `lambda top: top` where every
        top is a group of its own.

    Returns:
      The optax transformation. Its state is a tree of arrays.

    Raises:
      ValueError: from `init`, a top name whose group has no optimizer.
    """

    def labels(params: Mapping[str, Any]) -> dict[str, str]:
        by_top = {top: label_of(top) for top in params}
        homeless = {top: label for top, label in by_top.items() if label not in groups}
        if homeless:
            raise ValueError(
                f"optimizer groups: got parameters of the groups {homeless}, wanted one of "
                f"{sorted(groups)} for each; give them an optimizer, or another label"
            )
        return by_top

    return optax.partition(groups, labels)
