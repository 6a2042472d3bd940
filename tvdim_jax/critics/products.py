"""Critics that are one product: `critic(params, x, y)` scores all pairs of two tiles of vectors."""

import jax
import jax.numpy as jnp

from tvdim_jax.precision import einsum_float32


def dot(params: object, x: jax.Array, y: jax.Array) -> jax.Array:
    """Inner products of all pairs.

        s_ij = <x_i, y_j>

    Args:
      params: unused, `()`.
      x: `[N, D]`, any float; the products are summed in float32 (float64 stays).
      y: `[M, D]`.

    Returns:
      `[N, M]`, at least float32, any sign.

    Raises:
      ValueError: features that are not `[N, D]` and `[M, D]`.

    Source: the pairing critic of van den Oord et al. 2018 (arXiv 1807.03748) and AMDIM, Bachman et
    al. 2019 (arXiv 1906.00910), on features that are projected already.
    """
    del params
    x, y = _vectors(x, y, one_width=True)
    return einsum_float32("nd,md->nm", x, y)


def cosine(temperature: jax.Array | float, x: jax.Array, y: jax.Array) -> jax.Array:
    """Cosines of all pairs over a temperature.

        s_ij = <x_i / |x_i|, y_j / |y_j|> / temperature

    Args:
      temperature: scalar > 0; may be traced, and has a gradient.
      x: `[N, D]`, any float. Norms are taken and products summed in float32 (float64 stays); the
        unit vectors are never rounded to the features' type.
      y: `[M, D]`.

    Returns:
      `[N, M]`, at least float32, within +-1 / temperature. A vector of zeros scores 0 and gets no
      gradient.

    Raises:
      ValueError: features that are not `[N, D]` and `[M, D]`; a temperature that is no scalar, or a
        concrete one that is not above 0.

    Source: Radford et al. 2021 (arXiv 2103.00020), there with a learned temperature.
    """
    if jnp.ndim(temperature) != 0:
        raise ValueError(
            f"temperature: got shape {jnp.shape(temperature)}, wanted one scalar above 0, given to "
            "a loss of pairwise as params=temperature; for one of each vector scale the features"
        )
    if not isinstance(temperature, jax.core.Tracer) and not float(temperature) > 0:
        raise ValueError(
            f"temperature: got {temperature}, wanted a number above 0 that divides the cosines; "
            "0.07 is usual"
        )
    x, y = _vectors(x, y, one_width=True)
    scale = _inverse_norm(x)[:, None] * _inverse_norm(y)[None, :]
    return einsum_float32("nd,md->nm", x, y) * (scale / temperature)


def bilinear(kernel: jax.Array, x: jax.Array, y: jax.Array) -> jax.Array:
    """Bilinear form of all pairs.

        s_ij = x_i^T kernel y_j

    Every tile projects its x anew. Where x is reused over many tiles and the widths are large,
    project it once, `x @ kernel`, and take `dot`.

    Args:
      kernel: `[D_x, D_y]`, any float; rounded to the features' type.
      x: `[N, D_x]`, any float. `x^T kernel` is rounded to the features' type; the products are
        summed in float32 (float64 stays).
      y: `[M, D_y]`.

    Returns:
      `[N, M]`, at least float32, any sign.

    Raises:
      ValueError: features that are not `[N, D_x]` and `[M, D_y]`, or a kernel of other widths.

    Source: van den Oord et al. 2018 (arXiv 1807.03748), equation 3, without their exp.
    """
    x, y = _vectors(x, y, one_width=False)
    wanted = x.shape[1], y.shape[1]
    if jnp.shape(kernel) != wanted:
        raise ValueError(
            f"kernel: got shape {jnp.shape(kernel)}, wanted {wanted}, the widths of x and y; "
            "transpose it, or exchange x and y"
        )
    projected = einsum_float32("nd,de->ne", x, kernel.astype(x.dtype))
    return einsum_float32("ne,me->nm", projected.astype(y.dtype), y)


def _vectors(x: jax.Array, y: jax.Array, *, one_width: bool) -> tuple[jax.Array, jax.Array]:
    """The two tiles in their common type, after checking their shapes."""
    shapes = jnp.shape(x), jnp.shape(y)
    if any(len(shape) != 2 for shape in shapes) or (one_width and shapes[0][1] != shapes[1][1]):
        wanted = "[N, D] and [M, D]" if one_width else "[N, D_x] and [M, D_y]"
        raise ValueError(
            f"features: got x {shapes[0]} and y {shapes[1]}, wanted {wanted}; take one vector an "
            "example, vmap over leading axes, and bilinear or ConcatMLP for two widths"
        )
    dtype = jnp.result_type(x, y)
    return jnp.asarray(x, dtype), jnp.asarray(y, dtype)


def _inverse_norm(x: jax.Array) -> jax.Array:
    """1 / |x_i| `[N]`, at least float32; 0 for a row of zeros, which passes no gradient."""
    exact = x.astype(jnp.promote_types(x.dtype, jnp.float32))
    squares = jnp.sum(jnp.square(exact), axis=-1)
    # Both `where` are needed: without the inner one the gradient of a row of zeros is 0 * inf.
    return jnp.where(squares == 0, 0, jax.lax.rsqrt(jnp.where(squares == 0, 1, squares)))
