"""Bounds and losses of a learned critic by name, to be minimised."""

from functools import partial
from typing import Any, Literal, get_args

import jax

from tvdim_jax.losses import pairwise
from tvdim_jax.objectives.base import PairLoss

Estimator = Literal["dv", "info_nce", "jsd", "smile", "released_infonce"]


def make_estimator(name: Estimator, *, symmetric: bool) -> PairLoss:
    """The loss that trains a critic, taking the arguments of `tvdim_jax.losses.pairwise`.

    - "dv": minus the Donsker-Varadhan bound;
    - "info_nce": `info_nce_loss` at temperature 1;
    - "jsd": minus the Jensen-Shannon objective, which is not in nats;
    - "smile": has the value of minus the SMILE bound and the gradient of "jsd", as its authors
      train it;
    - "released_infonce": what the LMI release calls InfoNCE, Donsker-Varadhan and a constant.

    Args:
      name: one of the five.
      symmetric: of "info_nce": rows and columns are anchors, not rows alone. The others have no
        direction.

    Raises:
      ValueError: another name.

    Source: Liao et al. 2021 (arXiv 2103.04537); SMILE: Song and Ermon 2020 (arXiv 1910.06222).
    """
    losses: dict[str, PairLoss] = {
        "dv": _minus(pairwise.donsker_varadhan_lower_bound),
        "info_nce": partial(pairwise.info_nce_loss, symmetric=symmetric),
        "jsd": _minus(pairwise.jsd_objective),
        "smile": _smile,
        "released_infonce": pairwise.released_lmi_infonce_loss,
    }
    if name not in losses:
        raise ValueError(
            f"estimator: got {name!r}, wanted one of {', '.join(get_args(Estimator))}; "
            "docs/bounds.md says which to use when"
        )
    return losses[name]


def _minus(bound: PairLoss) -> PairLoss:
    return lambda *pairs, **options: -bound(*pairs, **options)


def _smile(*pairs: Any, **options: Any) -> jax.Array:
    trained = -pairwise.jsd_objective(*pairs, **options)
    shown = -pairwise.smile_lower_bound(*pairs, **options)
    return trained + jax.lax.stop_gradient(shown - trained)
