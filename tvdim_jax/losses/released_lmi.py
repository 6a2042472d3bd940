"""What the release of LMI calls InfoNCE, under an honest name."""

import math
from typing import Unpack

import jax

from tvdim_jax.losses.masks import MaskWords
from tvdim_jax.losses.mi_bounds import against_all_negatives
from tvdim_jax.losses.pairs import Pairs, as_pairs


def released_lmi_infonce_loss(scores: jax.Array | Pairs, **masks: Unpack[MaskWords]) -> jax.Array:
    """The "infonce" option of the LMI release: no InfoNCE, but Donsker-Varadhan and a constant.

        loss = log sum_negatives exp s - mean_positives s
             = log(number of negatives) - donsker_varadhan_lower_bound

    Positives are not in the sum and no anchor has a softmax of its own, so its gradient is that of
    the Donsker-Varadhan bound, to the bit. For comparison with the release; learn with
    `info_nce_loss` or the bound itself.

    Args:
      scores: `[..., N, M]`, any float; reduced in float32 (float64 stays).
      **masks: see `tvdim_jax.losses.masks.MaskWords`; default: the diagonal is positive.

    Returns:
      `[...]`, nats, at least float32. Without negatives, or without positives, 0 and no gradient
      (NaN and -inf in the release).

    Raises:
      ValueError: scores or masks of a wrong shape.

    Source: the code beside Liao et al. 2021 (arXiv 2103.04537).
    """
    bound, log_negatives = against_all_negatives(as_pairs(scores, masks), math.inf)
    return log_negatives - bound
