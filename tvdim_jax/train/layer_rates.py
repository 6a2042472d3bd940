"""Layer-wise learning rates: the deeper a layer lies under the output, the slower it learns.

Rate of a layer: `decay^depth`, depth 0 for the output (Clark et al. 2020, arXiv 2003.10555; He et
al. 2022, arXiv 2111.06377, with depth 1 for the last block and the largest one for the input).
"""

import re
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

_STACKED = "layers"  # holds all layers of a BERT along the first axis of its parameters
_INPUT = frozenset(
    {"stem", "stem_2", "patches", "class_token", "positions", "norm_before", "tokens", "types"}
)
_OUTPUT = frozenset(
    {"norm", "projection", "pooler", "batch_norm_1", "head_5", "head_7", "classifier"}
)
# Names of layers by where they stand, from the input on; the numbers in a name order a group.
_BETWEEN = (
    re.compile(r"unit_0"),
    re.compile(r"(?:stage|block)_(\d+)(?:_(?:block|unit)_(\d+))?"),
    re.compile(r"batch_norm_7"),
    re.compile(r"block_to_5_unit_(\d+)"),
    re.compile(r"block_to_3_unit_(\d+)"),
    re.compile(r"unit_to_1"),
)


def layer_depths(encoder: Mapping[str, Any]) -> dict[str, int | np.ndarray]:
    """How many layers lie between each part of an encoder and its output.

    Args:
      encoder: parameters of one of our encoders by the name of a part, such as "stem".

    Returns:
      Depth of each part: 0 for what stands after the last layer, 1 for the last layer, the largest
      for what stands before the first. Layers that are stacked have an int array, theirs from the
      input on.

    Raises:
      ValueError: a part of no encoder that is known here.
    """
    before, after = _INPUT, _OUTPUT
    depths: dict[str, int | np.ndarray] = {}
    if _STACKED in encoder:  # of BERT, whose "norm" belongs to the embeddings
        before, after = _INPUT | {"norm"}, _OUTPUT - {"norm"}
        num_layers = jax.tree.leaves(encoder[_STACKED])[0].shape[0]
        depths[_STACKED] = np.arange(num_layers, 0, -1)
    else:
        places = {name: place for name in encoder if (place := _place(name)) is not None}
        order = sorted(set(places.values()), reverse=True)
        num_layers = len(order)
        depths |= {name: order.index(place) + 1 for name, place in places.items()}
    depths |= dict.fromkeys(before & set(encoder), num_layers + 1)
    depths |= dict.fromkeys(after & set(encoder), 0)
    strange = sorted(set(encoder) - set(depths))
    if strange:
        raise ValueError(
            f"layer rates: got parts {strange} of an encoder, wanted those of AMDIM, a residual "
            "net, a vision transformer, a text transformer or BERT; tell train.layer_rates where "
            "they stand"
        )
    return depths


def layer_rates(encoder: Mapping[str, Any], decay: float) -> Any:
    """What each parameter's update is multiplied by.

    Args:
      encoder: see `layer_depths`.
      decay: in (0, 1]; 1 lets all layers learn alike.

    Returns:
      Tree of float32 arrays that broadcast against the parameters: `decay^depth`.

    Raises:
      ValueError: a part that is not known, or decay out of range.
    """
    if not 0 < decay <= 1:
        raise ValueError(
            f"layer rates: got decay {decay}, wanted it in (0, 1]; 1 lets all layers learn alike, "
            "0.75 is usual, and frozen parts are not trained at all"
        )
    depths = layer_depths(encoder)

    def rate_of(depth: int | np.ndarray, leaf: Any) -> jax.Array:
        rate = np.float64(decay) ** np.asarray(depth)
        return jnp.asarray(rate.reshape(rate.shape + (1,) * (leaf.ndim - rate.ndim)), jnp.float32)

    return {
        name: jax.tree.map(lambda leaf, depth=depths[name]: rate_of(depth, leaf), part)
        for name, part in encoder.items()
    }


def scale_by_rates(rates: Any) -> optax.GradientTransformation:
    """Multiplies each update by its rate; put it last, after Adam, which undoes any scale.

    Args:
      rates: tree of arrays that broadcast against the parameters.
    """

    def update(updates: Any, params: Any = None) -> Any:
        del params
        return jax.tree.map(lambda u, rate: u * rate.astype(u.dtype), updates, rates)

    return optax.stateless(update)


def _place(name: str) -> tuple[int, ...] | None:
    """(group, numbers in the name) of a layer; None for what stands before or after all layers."""
    for group, pattern in enumerate(_BETWEEN):
        if found := pattern.fullmatch(name):
            return group, *(int(number) for number in found.groups() if number is not None)
    return None
