"""Learned critics in two steps: project each side once, then score pairs of what came out."""

import math
from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple, get_args

import jax
import jax.numpy as jnp

from tvdim_jax.critics.concat_mlp import ConcatMLP
from tvdim_jax.critics.products import dot
from tvdim_jax.precision import einsum_float32
from tvdim_jax.prng import named_key

CriticKind = Literal["mlp", "bilinear", "dot"]


class PairCritic(NamedTuple):
    """A critic of vectors of two widths, in a form that streams over pairs.

    Attributes:
      init: `init(key, width_x, width_y) -> params`.
      project: `project(params, x [N, width_x], y [M, width_y]) -> ([N, H], [M, H])`, done once for
        each example.
      score: `score(params, projected_x [n, H], projected_y [m, H]) -> [n, m]`, at least float32, on
        any two tiles of what `project` returned.
    """

    init: Callable[[jax.Array, int, int], Any]
    project: Callable[[Any, jax.Array, jax.Array], tuple[jax.Array, jax.Array]]
    score: Callable[[Any, jax.Array, jax.Array], jax.Array]


def make_pair_critic(kind: CriticKind, hidden: Sequence[int] = (1024, 512)) -> PairCritic:
    """The critic called `kind`.

    - "mlp": `ConcatMLP(hidden)`, that of LMI.
    - "bilinear": `x^T W y` with one W `[width_x, width_y]`.
    - "dot": `<W_x x, W_y y> / sqrt(H)`, both sides in H = `hidden[-1]` dimensions.

    Args:
      kind: one of the three.
      hidden: widths of the hidden layers, each >= 1.

    Raises:
      ValueError: another kind.
    """
    if kind == "mlp":
        return _mlp(ConcatMLP(tuple(hidden)))
    if kind == "bilinear":
        return PairCritic(_init_bilinear, _project_bilinear, _score_products)
    if kind == "dot":
        width = hidden[-1]
        return PairCritic(
            lambda key, width_x, width_y: {
                "x": _uniform(named_key(key, "x"), width_x, width),
                "y": _uniform(named_key(key, "y"), width_y, width),
            },
            _project_dot,
            _score_products,
        )
    raise ValueError(f"critic: got {kind!r}, wanted one of {', '.join(get_args(CriticKind))}")


def _mlp(module: ConcatMLP) -> PairCritic:
    def init(key: jax.Array, width_x: int, width_y: int) -> Any:
        return module.init(key, jnp.zeros((1, width_x)), jnp.zeros((1, width_y)))["params"]

    def project(params: Any, x: jax.Array, y: jax.Array) -> tuple[jax.Array, jax.Array]:
        projected: Any = module.apply({"params": params}, x, y, method="split")
        return projected

    def score(params: Any, x: jax.Array, y: jax.Array) -> jax.Array:
        scores: Any = module.apply({"params": params}, x, y, method="score")
        return scores

    return PairCritic(init, project, score)


def _init_bilinear(key: jax.Array, width_x: int, width_y: int) -> dict[str, jax.Array]:
    # The form sums over both widths: divided by their roots, it starts at scores of order 1.
    return {"kernel": _uniform(key, width_x, width_y) / math.sqrt(width_y)}


def _project_bilinear(
    params: dict[str, jax.Array], x: jax.Array, y: jax.Array
) -> tuple[jax.Array, jax.Array]:
    return _matmul(x, params["kernel"]), y


def _project_dot(
    params: dict[str, jax.Array], x: jax.Array, y: jax.Array
) -> tuple[jax.Array, jax.Array]:
    scale = params["x"].shape[1] ** -0.5
    return _matmul(x, params["x"] * scale), _matmul(y, params["y"])


def _score_products(params: object, x: jax.Array, y: jax.Array) -> jax.Array:
    del params
    return dot((), x, y)


def _matmul(x: jax.Array, kernel: jax.Array) -> jax.Array:
    return einsum_float32("nc,cd->nd", x, kernel.astype(x.dtype)).astype(x.dtype)


def _uniform(key: jax.Array, inputs: int, outputs: int) -> jax.Array:
    """U[-b, b), b = sqrt(3 / inputs): outputs of variance 1 for inputs of variance 1."""
    bound = math.sqrt(3 / inputs)
    return jax.random.uniform(key, (inputs, outputs), jnp.float32, -bound, bound)
