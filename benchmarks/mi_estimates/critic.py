"""The critic that every bound trains."""

import math

import flax.linen as nn
import jax

from tvdim_jax.critics import ConcatMLP, dot

WIDTH, EMBEDDING, PAIR_HIDDEN = 128, 32, (16, 16, 16)

Side = tuple[jax.Array, jax.Array]  # embedding / sqrt(D) [N, D], first layer of the MLP [N, hidden]


class Critic(nn.Module):
    """Scores pairs by the product of two embeddings and an MLP on both.

        s_ij = <g(x_i), h(y_j)> / sqrt(D) + MLP([g(x_i); h(y_j)])

    The product learns linear and smooth dependence quickly in many dimensions, the MLP sharp ones.
    """

    def setup(self) -> None:
        """Makes the parts."""
        self.encode_x, self.encode_y = _Encoder(), _Encoder()
        self.pairs = ConcatMLP(PAIR_HIDDEN)

    def __call__(self, x: jax.Array, y: jax.Array) -> jax.Array:
        """`[N, width]` and `[M, width]` -> scores `[N, M]`."""
        return self.score(*self.sides(x, y))

    def sides(self, x: jax.Array, y: jax.Array) -> tuple[Side, Side]:
        """What each row brings to its pairs."""
        x, y = self.encode_x(x), self.encode_y(y)
        hidden_x, hidden_y = self.pairs.split(x, y)
        return (x / math.sqrt(EMBEDDING), hidden_x), (y, hidden_y)

    def score(self, x: Side, y: Side) -> jax.Array:
        """Scores `[n, m]` of two tiles of what `sides` gave."""
        return dot((), x[0], y[0]) + self.pairs.score(x[1], y[1])


class _Encoder(nn.Module):
    """A linear map plus a small MLP, which starts near zero."""

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """`[N, width]` -> `[N, EMBEDDING]`."""
        hidden = x
        for _ in range(3):
            hidden = nn.gelu(nn.Dense(WIDTH)(hidden))
        curved = nn.Dense(EMBEDDING, kernel_init=nn.initializers.normal(0.02))(hidden)
        return curved + nn.Dense(EMBEDDING, use_bias=False)(x)
