"""What a run remembers of earlier steps: an average of its parameters, a queue of embeddings.

Both are pure functions of trees that live in `variables`, under "average" and "queue".
"""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

Queue = dict[str, Any]
"""Ring buffer of Q pairs: "image" and "text" as in `embeddings.Sides`, and "next" int32 scalar.

The sides are zero, and not real, where nothing was put yet. "next" is where the next batch goes.
"""


def moved_average(average: Any, params: Mapping[str, Any], decay: float) -> Any:
    """The exponential moving average after one more step, `decay average + (1 - decay) params`.

    Args:
      average: the branches of `params` that have one, by name.
      params: tree of parameters, which get no gradient.
      decay: in [0, 1); 0.995 as released.

    Returns:
      A tree like `average`, in its types.

    Source: Li et al. 2021 (arXiv 2107.07651), section 3.3.
    """
    branches = jax.lax.stop_gradient({name: params[name] for name in average})
    return jax.tree.map(
        lambda old, new: (decay * old + (1 - decay) * new).astype(old.dtype), average, branches
    )


def empty_queue(size: int, width: int, teacher_width: int | None = None) -> Queue:
    """A queue that holds nothing yet.

    Args:
      size: Q, a multiple of the batch and of the devices; 65,536 as released.
      width: E of the embeddings.
      teacher_width: that of the teacher's; None for a run without teacher.

    Raises:
      ValueError: size < 1.
    """
    if size < 1:
        raise ValueError(
            f"queue size: got {size}, wanted at least 1, a multiple of the batch; leave the queue "
            "out of the variables for a run without"
        )
    side = {
        "embedding": jnp.zeros((size, width)),
        "where": jnp.zeros(size, bool),
        "group_id": jnp.full((size, 2), -1, jnp.int32),
    }
    if teacher_width is not None:
        side["teacher"] = jnp.zeros((size, teacher_width))
    # Arrays of their own for each side: a donated buffer may occur only once.
    return {
        "image": side,
        "text": jax.tree.map(jnp.copy, side),
        "next": jnp.zeros((), jnp.int32),
    }


def enqueue(queue: Queue, sides: Mapping[str, Mapping[str, jax.Array]]) -> Queue:
    """The queue with a batch in the place of the oldest pairs.

    Args:
      queue: of Q pairs.
      sides: "image" and "text" of B pairs; stored without gradient.

    Raises:
      ValueError: Q is no multiple of B.
    """
    (size,), (batch,) = queue["image"]["where"].shape, sides["image"]["where"].shape
    if size % batch:
        raise ValueError(
            f"queue: got {size} places for batches of {batch}, wanted a multiple of the batch, so "
            f"that the oldest give way; take {max(1, size // batch) * batch}"
        )

    def put(old: jax.Array, new: jax.Array) -> jax.Array:
        new = jax.lax.stop_gradient(new).astype(old.dtype)
        return jax.lax.dynamic_update_slice_in_dim(old, new, queue["next"], axis=0)

    filled = {
        name: {word: put(old, sides[name][word]) for word, old in queue[name].items()}
        for name in ("image", "text")
    }
    return filled | {"next": (queue["next"] + batch) % size}
