"""The measured losses: inputs of any batch size, the dense form, and the form to be measured."""

import dataclasses
import itertools
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from tvdim_jax import losses
from tvdim_jax.critics import ConcatMLP, cosine, dot, make_pair_critic
from tvdim_jax.losses import pairwise
from tvdim_jax.objectives.region_critic import region_scores
from tvdim_jax.precision import einsum_float32

Inputs = Callable[[int, DTypeLike], tuple[Any, Any, Any]]
Loss = Callable[..., jax.Array]

LOCATIONS = 198  # of AMDIM's six directed terms: 2 * (25 + 49 + 25)
REGIONS, TOKENS = 49, 32
LMI_CRITIC = ConcatMLP(hidden=(1024, 512))
LMI_REGIONS, LMI_SENTENCES = 64, 12  # of an image, of its report


@dataclasses.dataclass(frozen=True)
class Case:
    """A loss and its sizes.

    Attributes:
      name: key of the case in `CASES`.
      sizes: the widths, for people.
      inputs: `(batch, dtype) -> (params, x, y)`, all differentiated by; params has no batch axis.
      dense: `(params, x, y) -> loss`, from one matrix of all scores.
      streamed: the same, with `block_size` and `axis_name` as in `tvdim_jax.losses.pairwise`.
      pair_flop: of scoring one pair of examples, forward.
    """

    name: str
    sizes: str
    inputs: Inputs
    dense: Loss
    streamed: Loss
    pair_flop: float

    def shapes(self, batch: int, dtype: DTypeLike = jnp.float32) -> tuple[Any, Any, Any]:
        """`inputs` as shapes, which need no memory."""
        return jax.eval_shape(partial(self.inputs, batch, dtype))

    def floor_seconds(self, batch: int, flop_per_second: float) -> float:
        """Time of the four products a streamed value and gradient needs: two forward, two back.

        The scores are made twice, and each of the two gradients takes as many operations again.
        """
        return 4 * self.pair_flop * batch**2 / flop_per_second


def value_and_gradient(loss: Loss) -> Callable[..., Any]:
    """`(params, x, y) -> (loss, gradients)`."""
    return jax.value_and_grad(loss, argnums=(0, 1, 2))


def make_cases(
    *,
    width: int = 512,
    amdim_width: int = 1024,
    local_width: int = 256,
    mlp_width: int = 768,
    lmi_widths: tuple[int, int] = (128, 768),
    critic: ConcatMLP = LMI_CRITIC,
) -> dict[str, Case]:
    """The cases by name; the defaults are the sizes that are reported."""
    products = 2.0 * width
    local_products = 2.0 * REGIONS * TOKENS * local_width
    local_sizes = f"{REGIONS}x{TOKENS}, D={local_width}"
    vectors, local_maps = _vectors(width), _regions_and_tokens(local_width)
    sigmoid = _forms("sigmoid_pair_loss", _scaled_dot)
    srcl = _forms("similarity_regulated_loss", _plain_cosine, temperature=0.07)
    ranking = _forms("margin_ranking_loss", _plain_cosine)
    local = _forms("info_nce_loss", partial(_local, "log_mean_exp"))
    local_max = _forms("info_nce_loss", partial(_local, "max"))
    amdim = amdim_dense, _amdim_streamed
    cases = [
        Case("info_nce", f"D={width}", vectors, *_forms("info_nce_loss", dot), products),
        Case("sigmoid", f"D={width}", _with_scale(vectors), *sigmoid, products),
        Case("srcl", f"D={width}", vectors, *srcl, products),
        Case("ranking", f"D={width}", vectors, *ranking, products),
        Case("local", local_sizes, local_maps, *local, local_products),
        Case("local_max", local_sizes, local_maps, *local_max, local_products),
        _mlp_case("mlp", "info_nce_loss", critic, mlp_width),
        _mlp_case("lmi", "released_lmi_infonce_loss", critic, mlp_width),
        _lmi_local_case(critic.hidden, lmi_widths),
        Case(
            "amdim", f"D={amdim_width}", _views(amdim_width), *amdim, 2.0 * LOCATIONS * amdim_width
        ),
    ]
    return {case.name: case for case in cases}


def _forms(loss: str, critic: Any, **options: Any) -> tuple[Loss, Loss]:
    """Dense and streamed form of a loss that `tvdim_jax.losses` and `pairwise` both have."""

    def dense(params: Any, x: Any, y: Any) -> jax.Array:
        return getattr(losses, loss)(critic(params, x, y), **options)

    def streamed(params: Any, x: Any, y: Any, **walk: Any) -> jax.Array:
        return getattr(pairwise, loss)(critic, x, y, params=params, **walk, **options)

    return dense, streamed


def _mlp_case(name: str, loss: str, critic: ConcatMLP, width: int) -> Case:
    """A loss with LMI's learned critic; both forms project each example once."""
    apply: Callable[..., Any] = critic.apply

    def inputs(batch: int, dtype: DTypeLike) -> tuple[Any, Any, Any]:
        x, y = (_normal(side, (batch, width), dtype) for side in range(2))
        return critic.init(jax.random.key(2), x[:1], y[:1]), x, y

    def dense(params: Any, x: jax.Array, y: jax.Array) -> jax.Array:
        return getattr(losses, loss)(apply(params, x, y))

    def score(params: Any, hidden_x: jax.Array, hidden_y: jax.Array) -> jax.Array:
        return apply(params, hidden_x, hidden_y, method="score")

    def streamed(params: Any, x: jax.Array, y: jax.Array, **walk: Any) -> jax.Array:
        hidden = apply(params, x, y, method="split")
        return getattr(pairwise, loss)(score, *hidden, params=params, **walk)

    sizes = "-".join(map(str, [f"{width}+{width}", *critic.hidden, 1]))
    pair_flop = 2.0 * sum(a * b for a, b in itertools.pairwise([*critic.hidden, 1]))
    return Case(name, sizes, inputs, dense, streamed, pair_flop)


def _lmi_local_case(hidden: Sequence[int], widths: tuple[int, int]) -> Case:
    """LMI's local loss: sentences as anchors, and of each image its best region."""
    critic = make_pair_critic("mlp", hidden)

    def inputs(batch: int, dtype: DTypeLike) -> tuple[Any, Any, Any]:
        regions = _normal(0, (batch, LMI_REGIONS, widths[0]), dtype)
        sentences = _normal(1, (batch, LMI_SENTENCES, widths[1]), dtype)
        return critic.init(jax.random.key(2), *widths), regions, sentences

    def sides(
        params: Any, x: jax.Array, y: jax.Array, axis_name: str | None = None
    ) -> tuple[Any, Any, dict[str, jax.Array]]:
        """Projected sentences and images, and which belong together."""
        regions, vectors = critic.project(params, *(s.reshape(-1, s.shape[-1]) for s in (x, y)))
        first = 0 if axis_name is None else jax.lax.axis_index(axis_name) * len(x)
        row = first + jnp.arange(len(x), dtype=jnp.int32)
        said_of = jnp.repeat(row, LMI_SENTENCES)
        images = {"regions": regions.reshape(*x.shape[:2], -1), "row": row}
        masks = {"x_positive_id": said_of, "y_positive_id": row}
        return {"vector": vectors, "row": said_of}, images, masks

    def score(params: Any, sentences: Any, images: Any) -> jax.Array:
        pools: Any = {"region_pool": "max", "negative_regions": "own"}
        return region_scores(critic, params, images, sentences, **pools).T

    def dense(params: Any, x: jax.Array, y: jax.Array) -> jax.Array:
        sentences, images, masks = sides(params, x, y)
        scores = score(params, sentences, images)
        return losses.info_nce_loss(scores, symmetric=False, **masks)

    def streamed(params: Any, x: jax.Array, y: jax.Array, **walk: Any) -> jax.Array:
        sentences, images, masks = sides(params, x, y, walk.get("axis_name"))
        options = {"params": params, "symmetric": False, **walk, **masks}
        return pairwise.info_nce_loss(score, sentences, images, **options)

    sizes = f"{LMI_SENTENCES}x{LMI_REGIONS}, {widths[1]}+{widths[0]}"
    sizes = "-".join(map(str, [sizes, *hidden, 1]))
    pair_flop = 2.0 * sum(a * b for a, b in itertools.pairwise([*hidden, 1]))
    pair_flop *= LMI_SENTENCES * LMI_REGIONS
    return Case("lmi_local", sizes, inputs, dense, streamed, pair_flop)


def _normal(stream: int, shape: tuple[int, ...], dtype: DTypeLike) -> jax.Array:
    return jax.random.normal(jax.random.key(stream), shape, dtype)


def _vectors(width: int) -> Inputs:
    """Vectors whose products have unit variance."""

    def inputs(batch: int, dtype: DTypeLike) -> tuple[Any, Any, Any]:
        x, y = (_normal(side, (batch, width), dtype) * width**-0.25 for side in range(2))
        return (), x, y

    return inputs


def _with_scale(inputs: Inputs) -> Inputs:
    """The same features with SigLIP's learned scale and bias."""

    def scaled(batch: int, dtype: DTypeLike) -> tuple[Any, Any, Any]:
        _, x, y = inputs(batch, dtype)
        return {"scale": jnp.float32(1), "bias": jnp.float32(-10)}, x, y

    return scaled


def _regions_and_tokens(width: int) -> Inputs:
    def inputs(batch: int, dtype: DTypeLike) -> tuple[Any, Any, Any]:
        regions = _normal(0, (batch, REGIONS, width), dtype) * width**-0.25
        return (), regions, _normal(1, (batch, TOKENS, width), dtype) * width**-0.25

    return inputs


def _views(width: int) -> Inputs:
    """Two views as maps of height 1, 5 and 7."""

    def inputs(batch: int, dtype: DTypeLike) -> tuple[Any, Any, Any]:
        view_1, view_2 = (
            {h: _normal(10 * view + h, (batch, h, h, width), dtype) for h in (1, 5, 7)}
            for view in range(2)
        )
        return (), view_1, view_2

    return inputs


def _scaled_dot(params: Any, x: jax.Array, y: jax.Array) -> jax.Array:
    return params["scale"] * dot((), x, y) + params["bias"]


def _plain_cosine(params: Any, x: jax.Array, y: jax.Array) -> jax.Array:
    del params
    return cosine(1.0, x, y)


def _local(pool: Any, params: Any, x: jax.Array, y: jax.Array) -> jax.Array:
    del params
    return losses.local_scores(x, y, region_pool=pool)


def _locations(view: Any) -> jax.Array:
    """Where each image's vector of the 5 x 5 map is taken."""
    return jnp.arange(view[5].shape[0], dtype=jnp.int32) % 25


def _amdim_streamed(params: Any, view_1: Any, view_2: Any, **walk: Any) -> jax.Array:
    del params
    return losses.multiscale_info_nce_loss(
        view_1, view_2, index_1=_locations(view_1), index_2=_locations(view_2), **walk
    )["loss"]


def amdim_dense(params: Any, view_1: Any, view_2: Any) -> jax.Array:
    """AMDIM's six terms and their regularizers from whole score arrays `[B, B, R]`, as written.

    Source: Bachman et al. 2019 (arXiv 1906.00910).
    """
    del params
    total = jnp.zeros(())
    for source, target in ((view_1, view_2), (view_2, view_1)):
        batch, _, _, width = source[5].shape
        maps = {h: target[h].reshape(batch, h * h, width) for h in (5, 7)}
        glob = source[1].reshape(batch, width)
        at = _locations(source)[:, None, None]
        drawn = jnp.take_along_axis(source[5].reshape(batch, 25, width), at, axis=1)[:, 0]
        for vectors, height in ((glob, 5), (glob, 7), (drawn, 5)):
            total += _directed_term(vectors, maps[height]) / 2
    return total


def _directed_term(source: jax.Array, targets: jax.Array, clip: float = 20.0) -> jax.Array:
    """One source vector an image `[B, D]` against the `[B, R, D]` of every image."""
    batch, width = source.shape
    scores = einsum_float32("id,jpd->ijp", source, targets) / width**0.5
    clipped = clip * jnp.tanh(scores / clip)
    same_image = jnp.eye(batch, dtype=bool)[:, :, None]
    negatives = jax.nn.logsumexp(clipped, axis=(1, 2), where=~same_image)
    positives = jnp.einsum("iip->ip", clipped)
    loss = jnp.mean(jax.nn.softplus(negatives[:, None] - positives))
    return loss + 0.05 * jnp.mean(jnp.square(scores))


CASES = make_cases()
