"""Products that make scores: summed in float32 at least, whatever the features' type."""

from functools import partial

import jax
import jax.numpy as jnp


def einsum_float32(subscripts: str, x: jax.Array, y: jax.Array) -> jax.Array:
    """`jnp.einsum` of two operands, summed in float32 at full precision; float64 stays.

    bfloat16 operands are multiplied as they are (their products are exact in float32). In the
    backward pass the cotangent is rounded to the operands' type first, so that its two products
    run in that type too.

    Args:
      subscripts: "ab,cb->ac" and the like: explicit output, no repeated letter in a term, each
        letter in two terms at least.
      x: first operand, any float.
      y: second operand, of the same type.

    Returns:
      The products, float32 or float64.
    """
    operands, out = subscripts.split("->")
    # Inside shard_map, an operand that all devices share is marked as this device's own, so that
    # the backward pass may give this device's part of its gradient; JAX then sums the parts.
    axes = [varying(operand) for operand in (x, y)]
    x, y = _own(x, axes[1] - axes[0]), _own(y, axes[0] - axes[1])
    return _einsum(*operands.split(","), out, x, y)


def varying(array: jax.Array) -> frozenset[str]:
    """The mapped axes over which an array's type says that it differs from device to device.

    Args:
      array: any, inside `jax.shard_map`; outside, and where such types are not checked, none.
    """
    kind = getattr(jax.typeof(array), "manual_axis_type", None)
    return frozenset() if kind is None else kind.varying


def _own(x: jax.Array, axes: frozenset[str]) -> jax.Array:
    """x, varying over the given mesh axes, too."""
    return jax.lax.pcast(x, tuple(axes), to="varying") if axes else x


@partial(jax.custom_vjp, nondiff_argnums=(0, 1, 2))
def _einsum(x_axes: str, y_axes: str, out: str, x: jax.Array, y: jax.Array) -> jax.Array:
    dtype = jnp.promote_types(jnp.result_type(x, y), jnp.float32)
    # HIGHEST, since by default float32 is multiplied as TF32 on a GPU and as bfloat16 on a TPU.
    precision = jax.lax.Precision.HIGHEST
    return jnp.einsum(
        f"{x_axes},{y_axes}->{out}", x, y, precision=precision, preferred_element_type=dtype
    )


def _forward(
    x_axes: str, y_axes: str, out: str, x: jax.Array, y: jax.Array
) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    return _einsum(x_axes, y_axes, out, x, y), (x, y)


def _backward(
    x_axes: str, y_axes: str, out: str, operands: tuple[jax.Array, jax.Array], cotangent: jax.Array
) -> tuple[jax.Array, jax.Array]:
    x, y = operands
    x_gradient = _einsum(out, y_axes, x_axes, cotangent.astype(y.dtype), y)
    y_gradient = _einsum(out, x_axes, y_axes, cotangent.astype(x.dtype), x)
    return x_gradient.astype(x.dtype), y_gradient.astype(y.dtype)


_einsum.defvjp(_forward, _backward)
