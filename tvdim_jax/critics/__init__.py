"""Critics: features of two tiles -> scores of all their pairs, as `critic(params, x, y)`.

They know no loss. `tvdim_jax.losses.local_scores` is the critic over regions and tokens.
"""

from tvdim_jax.critics.concat_mlp import ConcatMLP
from tvdim_jax.critics.pair_critic import PairCritic, make_pair_critic
from tvdim_jax.critics.products import bilinear, cosine, dot

__all__ = ["ConcatMLP", "PairCritic", "bilinear", "cosine", "dot", "make_pair_critic"]
