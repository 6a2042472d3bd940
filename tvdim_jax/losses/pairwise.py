"""The losses of `tvdim_jax.losses` from features, without ever making the scores of all pairs.

    pairwise.info_nce_loss(critic, x, y, *, params=(), block_size=None, axis_name=None, ...)

gives the value and the gradient (by params, x, y and traced options) of

    losses.info_nce_loss(critic(params, x, y), ...)

in memory that grows with N + M instead of N M, and so for every loss here. Each takes the options
and the mask words of its namesake, but `where` and `positive_mask`, which are `[N, M]` themselves.

Wrap the call in `jax.jit`: called eagerly, it traces critic and loss anew each time. Gradients go
backwards only; `jax.jvp`, `jax.jacfwd` and `jax.hessian` stop at the streamed form. Over devices
take them outside the mapped function. Inside `jax.shard_map` with `check_vma` on they are right as
they are; inside `jax.pmap` take `jax.lax.pmean` of the parameters' gradients, never `psum`.

Args of all:
  critic: `critic(params, x_tile, y_tile) -> scores [n, m]` of any n of x and m of y, a pure
    function of its arguments; or a tuple of scores, handed to the loss in order. See
    `tvdim_jax.critics` and `local_scores`.
  x: tree of arrays `[N, ...]`, the anchors; integers and bools, such as masks, may be among them.
  y: tree of arrays `[M, ...]`, the candidates.
  params: tree of arrays, of the critic.
  block_size: anchors and candidates scored at once. Default: from what the critic needs in memory
    for a tile; all pairs at once where that is small.
  axis_name: inside `jax.shard_map` (or `jax.pmap`), the axis over whose devices x and y are split,
    each device giving as many rows; all pairs of all devices count. The shards of y travel round
    the devices, and no device ever holds them all. The value is the same on every device.

Raises:
  ValueError: a critic that closes over a traced value or returns another shape, leaves that share
    no leading axis, masks that do not fit, block_size < 1.
"""

import inspect
from collections.abc import Callable
from typing import Any, Protocol

from tvdim_jax.losses import (
    distillation,
    info_nce,
    mi_bounds,
    monitors,
    ranking,
    released_lmi,
    sigmoid,
    similarity_regulated,
    weight_monitors,
)
from tvdim_jax.losses.blocks import Critic
from tvdim_jax.losses.masks import MaskWords
from tvdim_jax.losses.streamed_pairs import pairs_of
from tvdim_jax.losses.tiles import AxisName


class PairwiseLoss(Protocol):
    """A loss of all pairs of x and y; the module's docstring says what it takes."""

    def __call__(
        self,
        critic: Critic,
        x: Any,
        y: Any,
        *,
        params: Any = (),
        block_size: int | None = None,
        axis_name: AxisName | None = None,
        **options: Any,
    ) -> Any:
        """The scalar loss, at least float32."""


def _from_features(loss: Callable[..., Any]) -> PairwiseLoss:
    """The loss on scores, reading a stream of tiles in their place."""

    def on_features(
        critic: Critic,
        x: Any,
        y: Any,
        *,
        params: Any = (),
        block_size: int | None = None,
        axis_name: AxisName | None = None,
        **options: Any,
    ) -> Any:
        words = MaskWords.__annotations__
        masks: Any = {name: options.pop(name) for name in list(options) if name in words}
        pairs = pairs_of(
            critic, x, y, params=params, block_size=block_size, axis_name=axis_name, masks=masks
        )
        return loss(pairs, **options)

    on_features.__name__ = on_features.__qualname__ = loss.__name__
    _show_signature(on_features, loss)
    on_features.__doc__ = (
        f"`losses.{loss.__name__}` of all pairs of x and y, in linear memory.\n\n"
        "The arguments before its options are in the docstring of `tvdim_jax.losses.pairwise`; its "
        f"own docstring:\n\n    {loss.__doc__}"
    )
    return on_features


def _show_signature(on_features: Any, loss: Callable[..., Any]) -> None:
    """Lets `help` and editors show the options of the loss in the place of `**options`."""
    shown = inspect.signature(on_features)
    own = [
        parameter
        for parameter in inspect.signature(loss).parameters.values()
        if parameter.kind in (parameter.KEYWORD_ONLY, parameter.VAR_KEYWORD)
    ]
    before = [p for p in shown.parameters.values() if p.kind is not p.VAR_KEYWORD]
    on_features.__signature__ = shown.replace(parameters=[*before, *own])


info_nce_lower_bound = _from_features(info_nce.info_nce_lower_bound)
info_nce_loss = _from_features(info_nce.info_nce_loss)
donsker_varadhan_lower_bound = _from_features(mi_bounds.donsker_varadhan_lower_bound)
nwj_lower_bound = _from_features(mi_bounds.nwj_lower_bound)
smile_lower_bound = _from_features(mi_bounds.smile_lower_bound)
jsd_objective = _from_features(mi_bounds.jsd_objective)
sigmoid_pair_loss = _from_features(sigmoid.sigmoid_pair_loss)
margin_ranking_loss = _from_features(ranking.margin_ranking_loss)
similarity_regulated_loss = _from_features(similarity_regulated.similarity_regulated_loss)
distillation_loss = _from_features(distillation.distillation_loss)
released_lmi_infonce_loss = _from_features(released_lmi.released_lmi_infonce_loss)
score_summary = _from_features(monitors.score_summary)
weight_summary = _from_features(weight_monitors.weight_summary)
