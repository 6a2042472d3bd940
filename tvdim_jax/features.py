"""What every encoder returns: one global vector and named local features per example."""

from collections.abc import Mapping
from typing import NamedTuple

import jax


class Features(NamedTuple):
    """Encoder output, before any critic.

    Attributes:
      global_features: `[B, D]`, one vector per image or text.
      local_features: name or height -> array. Image encoders give maps `[B, h, w, D]` (AMDIM: keys
        5 and 7, the heights of its maps); text encoders give `{"tokens": [B, T, D]}`.
    """

    global_features: jax.Array
    local_features: Mapping[int | str, jax.Array]
