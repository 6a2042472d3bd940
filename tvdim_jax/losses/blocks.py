"""How large a tile may be: decided from what the critic itself keeps in memory for one."""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from tvdim_jax.losses.masks import float_scores

Critic = Callable[[Any, Any, Any], Any]
"""`critic(params, x_tile, y_tile) -> scores [n, m]`, or a tuple of them."""


class ScoreSpec(NamedTuple):
    """What a critic gives for a pair: so many scores, of one dtype."""

    num_scores: int
    dtype: Any


# Bytes of the largest array of a tile. On a CPU it should stay in the cache of a core; a GPU wants
# it large enough to fill all its units and still within its L2 cache.
_TILE_BYTES = {"cpu": 2**22}
_TILE_BYTES_ELSEWHERE = 2**25
# A matrix of a few tiles costs no more memory than the tiles' own temporaries, and no recomputing.
_DENSE_TILES = 4
_LARGEST_BLOCK, _SMALLEST_BLOCK = 2048, 8


def choose_block(critic: Critic, params: Any, x: Any, y: Any) -> int | None:
    """The block size for all pairs of x and y.

    Args:
      critic: `critic(params, x_tile, y_tile) -> scores [n, m]`, or a tuple of them.
      params: of the critic.
      x: tree of arrays `[N, ...]`.
      y: tree of arrays `[M, ...]`.

    Returns:
      Anchors and candidates of a tile, a power of two, such that the largest array the critic makes
      for it stays within the budget of the default backend; None where all pairs at once nearly do.
    """
    budget = _TILE_BYTES.get(jax.default_backend(), _TILE_BYTES_ELSEWHERE)
    num_x, num_y = leading_size("x", x), leading_size("y", y)
    if largest_array(critic, params, x, y, (num_x, num_y)) <= _DENSE_TILES * budget:
        return None
    block = _LARGEST_BLOCK
    while block > _SMALLEST_BLOCK:
        sizes = min(block, num_x), min(block, num_y)
        if largest_array(critic, params, x, y, sizes) <= budget:
            break
        block //= 2
    return block


def largest_array(critic: Critic, params: Any, x: Any, y: Any, sizes: tuple[int, int]) -> int:
    """Bytes of the largest array that scoring a tile of the given sizes makes, by tracing it."""
    jaxpr = trace_critic(critic, params, x, y, sizes).jaxpr
    return max((_num_bytes(shape) for shape in _made_by(jaxpr)), default=0)


def check_critic(critic: Critic, params: Any, x: Any, y: Any) -> ScoreSpec:
    """Traces the critic on a small tile.

    Returns:
      How many scores a pair has, and their dtype: float32, or float64 where the critic gives that.

    Raises:
      ValueError: it closes over a traced value, or its scores are not `[n, m]`.
    """
    for sizes in ((3, 2), (2, 3)):  # two, lest the features' width looks like a number of examples
        traced = trace_critic(critic, params, x, y, sizes)
        if any(isinstance(value, jax.core.Tracer) for value in traced.consts):
            raise ValueError(
                "critic: it closes over a traced value, whose gradient would be lost, wanted a "
                "function of its arguments alone; hand parameters and temperatures in by "
                "params=..., per-example arrays in x and y"
            )
        shapes = [shape.shape for shape in traced.out_avals]
        if not shapes or any(shape != sizes for shape in shapes):
            raise ValueError(
                f"critic: for tiles of {sizes[0]} and {sizes[1]} examples got scores of shapes "
                f"{shapes}, wanted {sizes}, or a tuple of such; score every x of the tile against "
                "every y"
            )
    return ScoreSpec(len(shapes), traced.out_avals[0].dtype)


def trace_critic(critic: Critic, params: Any, x: Any, y: Any, sizes: tuple[int, int]) -> Any:
    """The jaxpr of `tile_scores` on tiles of the given sizes."""

    def resized(tree: Any, size: int) -> Any:
        return jax.tree.map(
            lambda leaf: jax.ShapeDtypeStruct((size, *jnp.shape(leaf)[1:]), leaf.dtype), tree
        )

    return jax.make_jaxpr(lambda *args: tile_scores(critic, *args))(
        params, resized(x, sizes[0]), resized(y, sizes[1])
    )


def tile_scores(critic: Critic, params: Any, x: Any, y: Any) -> tuple[jax.Array, ...]:
    """The critic's scores of a tile as a tuple, in one dtype, at least float32."""
    scores = critic(params, x, y)
    scores = scores if isinstance(scores, tuple) else (scores,)
    scores = tuple(float_scores(each) for each in scores)
    return tuple(each.astype(jnp.result_type(*scores)) for each in scores)


def leading_size(name: str, tree: Any) -> int:
    """The size of the leading axis that all leaves share.

    Raises:
      ValueError: there is no leaf, or they disagree.
    """
    shapes = [jnp.shape(leaf) for leaf in jax.tree.leaves(tree)]
    sizes = {shape[0] if shape else None for shape in shapes}
    if len(sizes) != 1 or None in sizes or 0 in sizes:
        raise ValueError(
            f"{name}: got leaves of shapes {shapes}, wanted a tree of arrays that share their "
            "leading axis, one entry an example and at least one; give what is the same for all in "
            "params"
        )
    return shapes[0][0]


def _made_by(jaxpr: Any) -> Iterator[Any]:
    """Shapes of all arrays a jaxpr makes, in the jaxprs of its equations too."""
    for equation in jaxpr.eqns:
        yield from (out.aval for out in equation.outvars)
        for parameter in jax.tree.leaves(equation.params, is_leaf=lambda p: hasattr(p, "eqns")):
            inner = getattr(parameter, "jaxpr", parameter)
            if hasattr(inner, "eqns"):
                yield from _made_by(inner)


def _num_bytes(shape: Any) -> int:
    return int(np.prod(shape.shape, dtype=np.int64)) * jnp.dtype(shape.dtype).itemsize
