"""What an anchor may accumulate over its candidates: a sum, a logsumexp, the k largest.

Each accumulator reduces the values `[..., N, M]` of a tile along one axis, merges what two tiles
gave, and sends a gradient back to the values of a tile from the finished result alone, so that a
tile never has to be kept. Results have the anchors on their last axis.
"""

import dataclasses
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp


class LogSum(NamedTuple):
    """A logsumexp in two parts, since at values of 1e4 their float32 sum loses 1e-3.

    Attributes:
      best: `[..., N]`, the largest value; a constant to gradients, which all pass by `log_sum`.
      log_sum: `[..., N]`, log of the sum of exp(value - best). Both are 0 for an anchor that
        accumulated nothing.
    """

    best: jax.Array
    log_sum: jax.Array


class Top(NamedTuple):
    """The k largest values and where they are.

    Attributes:
      values: `[k, ..., N]`, descending, -inf where an anchor has fewer than k candidates.
      places: int32 `[k, ..., N]`, the candidates; of equal values the first.
    """

    values: jax.Array
    places: jax.Array


class Accumulator(Protocol):
    """How one quantity is accumulated; `axis` is -1 for rows as anchors and -2 for columns."""

    def empty(self, like: jax.Array) -> Any:
        """The state of anchors `[N]` (values are ignored) that saw no candidate."""

    def reduce(self, values: jax.Array, axis: int, index: jax.Array) -> Any:
        """The state after one tile of values, whose candidates have the given indices."""

    def merge(self, first: Any, second: Any) -> Any:
        """The state after both."""

    def result(self, state: Any) -> Any:
        """The finished result of a state."""

    def weight(self, cotangent: Any) -> jax.Array:
        """The part of a result's cotangent that reaches values."""

    def pullback(
        self, values: jax.Array, result: Any, weight: jax.Array, axis: int, index: jax.Array
    ) -> jax.Array:
        """Cotangent of a tile's values from the finished result and its `weight`."""


@dataclasses.dataclass(frozen=True)
class _Sum:
    """Sum of the values; a pair that takes no part has the value 0."""

    def empty(self, like: jax.Array) -> jax.Array:
        return jnp.zeros_like(like)

    def reduce(self, values: jax.Array, axis: int, index: jax.Array) -> jax.Array:
        del index
        return jnp.sum(values, axis)

    def merge(self, first: jax.Array, second: jax.Array) -> jax.Array:
        return first + second

    def result(self, state: jax.Array) -> jax.Array:
        return state

    def weight(self, cotangent: jax.Array) -> jax.Array:
        return cotangent

    def pullback(
        self, values: jax.Array, result: jax.Array, weight: jax.Array, axis: int, index: jax.Array
    ) -> jax.Array:
        del result, index
        return jnp.broadcast_to(jnp.expand_dims(weight, axis), values.shape)


@dataclasses.dataclass(frozen=True)
class _LogSumExp:
    """Logsumexp of the values; a pair that takes no part has the value -inf."""

    def empty(self, like: jax.Array) -> tuple[jax.Array, jax.Array]:
        return jnp.full_like(like, -jnp.inf), jnp.zeros_like(like)

    def reduce(self, values: jax.Array, axis: int, index: jax.Array) -> tuple[jax.Array, jax.Array]:
        del index
        best = jnp.max(values, axis)
        return best, jnp.sum(jnp.exp(values - jnp.expand_dims(finite_shift(best), axis)), axis)

    def merge(
        self, first: tuple[jax.Array, jax.Array], second: tuple[jax.Array, jax.Array]
    ) -> tuple[jax.Array, jax.Array]:
        best = jnp.maximum(first[0], second[0])
        shift = finite_shift(best)
        return best, first[1] * jnp.exp(first[0] - shift) + second[1] * jnp.exp(second[0] - shift)

    def result(self, state: tuple[jax.Array, jax.Array]) -> LogSum:
        best, total = state
        # Not "> 0", which a NaN is not either: it must come out as NaN.
        return LogSum(finite_shift(best), jnp.log(jnp.where(total == 0, 1, total)))

    def weight(self, cotangent: LogSum) -> jax.Array:
        return cotangent.log_sum

    def pullback(
        self, values: jax.Array, result: LogSum, weight: jax.Array, axis: int, index: jax.Array
    ) -> jax.Array:
        del index
        best, log_sum, weight = (jnp.expand_dims(part, axis) for part in (*result, weight))
        return weight * jnp.exp((values - best) - log_sum)


@dataclasses.dataclass(frozen=True)
class Largest:
    """The k largest values; a pair that takes no part has the value -inf.

    Attributes:
      k: how many, >= 1.
    """

    k: int

    def empty(self, like: jax.Array) -> Top:
        """See `Accumulator`, as all the others."""
        values = jnp.broadcast_to(jnp.full_like(like, -jnp.inf)[None], (self.k, *like.shape))
        return Top(values, jnp.full_like(values, -1, jnp.int32))

    def reduce(self, values: jax.Array, axis: int, index: jax.Array) -> Top:
        """The k largest of a tile; -inf, index -1 where it is narrower."""
        lines = jnp.swapaxes(values, -1, axis)  # candidates last
        if self.k == 1:  # several times as fast as a sort
            place = jnp.argmax(lines, axis=-1)[None]
            top = jnp.max(lines, axis=-1)[None]
        else:
            top, place = jax.lax.top_k(lines, min(self.k, lines.shape[-1]))
            top, place = jnp.moveaxis(top, -1, 0), jnp.moveaxis(place, -1, 0)
        found = Top(top, index[place].astype(jnp.int32))
        missing = self.k - found.values.shape[0]
        if not missing:
            return found
        rest = Largest(missing).empty(found.values[0])
        return Top(*(jnp.concatenate(pair) for pair in zip(found, rest, strict=True)))

    def merge(self, first: Top, second: Top) -> Top:
        """The k largest of both; of equal values the first candidate, whatever the order."""
        values, index = (jnp.concatenate(pair) for pair in zip(first, second, strict=True))
        order = jnp.where(jnp.isnan(values), -jnp.inf, -values)  # NaN first, as in `reduce`
        _, index, values = jax.lax.sort((order, index, values), dimension=0, num_keys=2)
        return Top(values[: self.k], index[: self.k])

    def result(self, state: Top) -> Top:
        """The state itself."""
        return state

    def weight(self, cotangent: Top) -> jax.Array:
        """The cotangent of the values; indices have none."""
        return cotangent.values

    def pullback(
        self, values: jax.Array, result: Top, weight: jax.Array, axis: int, index: jax.Array
    ) -> jax.Array:
        """Each weight goes to the candidate that was chosen."""
        shape = [1] * (values.ndim + 1)
        shape[axis] = index.size
        chosen = jnp.expand_dims(result.places, axis) == index.reshape(shape)
        return jnp.sum(jnp.where(chosen, jnp.expand_dims(weight, axis), 0), axis=0)


SUM = _Sum()
LOG_SUM_EXP = _LogSumExp()


def accumulate(kind: Accumulator, values: jax.Array, axis: int) -> Any:
    """The result over a whole matrix of values, with the gradient of `pullback`.

    Args:
      kind: `SUM`, `LOG_SUM_EXP` or `Largest(k)`.
      values: `[..., N, M]`.
      axis: -1: rows are anchors; -2: columns are.

    Returns:
      The result of the anchors, `[..., N]` or `[..., M]`.
    """
    num = values.shape[axis]

    def index() -> jax.Array:  # anew where it is needed, as a custom_vjp closes over no array
        return jnp.arange(num, dtype=jnp.int32)

    @jax.custom_vjp
    def reduce(values: jax.Array) -> Any:
        return kind.result(kind.reduce(values, axis, index()))

    def forward(values: jax.Array) -> tuple[jax.Array, tuple[jax.Array, Any]]:
        result = reduce(values)
        return result, (values, result)

    def backward(saved: tuple[jax.Array, Any], cotangent: Any) -> tuple[jax.Array]:
        values, result = saved
        return (kind.pullback(values, result, kind.weight(cotangent), axis, index()),)

    reduce.defvjp(forward, backward)
    return reduce(values)


def finite_shift(best: jax.Array) -> jax.Array:
    """`best`, or zero where it is -inf: an anchor that has seen nothing."""
    return jnp.where(best == -jnp.inf, 0, best)
