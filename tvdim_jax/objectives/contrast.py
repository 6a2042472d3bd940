"""The contrast of images and texts: which terms a batch, a queue and a teacher give."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Literal, NamedTuple, get_args

import jax
import jax.numpy as jnp
from jax.sharding import Mesh

from tvdim_jax.critics import dot
from tvdim_jax.losses import pairwise
from tvdim_jax.losses.similarity_regulated import Norm, check_norm, linear_teacher_share
from tvdim_jax.objectives.base import Metrics, score_metrics
from tvdim_jax.objectives.devices import over_devices
from tvdim_jax.objectives.embeddings import Sides

ContrastLoss = Literal["info_nce", "similarity_regulated"]


class Regulation(NamedTuple):
    """How the negatives are weighted.

    Attributes:
      pair_loss: "info_nce": all weights 1; "similarity_regulated": by similarity.
      norm: see `tvdim_jax.losses.similarity_weights`.
      delta: > 0, likewise.
      weight_gradient: let gradients pass through the weights.
      teacher_share: in 0..1, of the teacher in the similarity at step 0; 0 never runs it.
      teacher_steps: updates in which that share falls to 0, along a line; 0 keeps it.
    """

    pair_loss: ContrastLoss
    norm: Norm
    delta: float
    weight_gradient: bool
    teacher_share: float
    teacher_steps: int

    def share(self, step: jax.Array | int) -> jax.Array | float:
        """The teacher's share of the similarity at a step."""
        if not self.teacher_steps:
            return self.teacher_share
        return self.teacher_share * linear_teacher_share(step, self.teacher_steps)


def contrast(
    regulation: Regulation,
    sides: Sides,
    queue: Mapping[str, Any] | None,
    *,
    temperature: jax.Array,
    step: jax.Array | int,
    mesh: Mesh | None,
    distillation: jax.Array | None = None,
) -> tuple[jax.Array, Metrics]:
    """The contrastive loss of all pairs of a batch, in both directions.

    Image i against text i and the other texts, those of the queue too, and so for texts:

        loss = 1/2 (pair_loss(cos(image_i, text_j)) + pair_loss(cos(text_i, image_j)))

    Pairs that share an image or a text are nobody's negatives.

    Args:
      regulation: of the negatives.
      sides: of B pairs, with "teacher" where the regulation has one and with "momentum" where
        there is distillation.
      queue: of Q further pairs, candidates only, or None.
      temperature: > 0, scalar.
      step: updates done.
      mesh: of one axis, over whose devices B and Q are split; None for one device.
      distillation: a in 0..1: the loss becomes `(1 - a) loss + a distillation_loss`, the targets
        the cosines of the momentum encoders. None leaves it out.

    Returns:
      The loss (nats), and the metrics "train/contrast_loss", "train/temperature", those of
      `score_metrics`, images as anchors, and where negatives have weights "train/teacher_share" and
      those of `tvdim_jax.losses.weight_summary` as "train/weight_<name>".
    """
    shared = {"temperature": temperature}
    metrics = {"train/temperature": temperature}
    if regulation.teacher_share:
        shared["teacher_share"] = jnp.asarray(regulation.share(step), jnp.float32)
    if regulation.pair_loss == "similarity_regulated":
        metrics["train/teacher_share"] = shared.get("teacher_share", jnp.zeros(()))
    if distillation is not None:
        shared["distillation"] = distillation
    rows = sides, queue and {name: queue[name] for name in sides}
    loss, found = over_devices(partial(_of_rows, regulation), mesh, shared, rows)
    return loss, metrics | found


def check_regulation(regulation: Regulation) -> None:
    """Raises ValueError for an option out of its range."""
    if regulation.pair_loss not in get_args(ContrastLoss):
        raise ValueError(
            f"pair_loss: got {regulation.pair_loss!r}, wanted one of "
            f"{', '.join(get_args(ContrastLoss))}; images and texts are told apart here, not ranked"
        )
    check_norm(regulation.norm, regulation.delta)
    if not 0 <= regulation.teacher_share <= 1:
        raise ValueError(
            f"teacher_share: got {regulation.teacher_share}, wanted 0..1, the teacher's part of "
            "the similarity at the start; 1 with teacher_steps, or 0 for a run without teacher"
        )
    if regulation.teacher_steps < 0:
        raise ValueError(
            f"teacher_steps: got {regulation.teacher_steps}, wanted at least 0; take the updates "
            "of the run, or 0 for a share that stays"
        )
    if regulation.teacher_share and regulation.pair_loss != "similarity_regulated":
        raise ValueError(
            f"teacher_share: got {regulation.teacher_share} with pair_loss "
            f"{regulation.pair_loss!r}, wanted 0: only similarity_regulated asks a teacher"
        )


def _of_rows(
    regulation: Regulation, shared: Mapping[str, jax.Array], rows: Any, *, axis_name: str | None
) -> tuple[jax.Array, Metrics]:
    """Loss and metrics of the rows of all devices, of which this one holds some."""
    sides, queue = rows
    guide = "teacher" if regulation.teacher_share else None
    over = partial(_over_pairs, sides, queue, axis_name=axis_name, guide=guide)
    both_ways = partial(_both_ways, over, one_walk=queue is None)
    temperature: dict[str, Any] = {"temperature": shared["temperature"]}
    given = temperature | {"norm": regulation.norm, "delta": regulation.delta}
    given |= {name: shared[name] for name in shared if name == "teacher_share"}
    if regulation.pair_loss == "similarity_regulated":
        through = regulation.weight_gradient
        loss_of = partial(pairwise.similarity_regulated_loss, weight_gradient=through, **given)
    else:
        loss_of = partial(pairwise.info_nce_loss, **temperature)
    loss = both_ways(loss_of)
    metrics = {"train/contrast_loss": loss}
    if "distillation" in shared:
        soft_loss = both_ways(partial(pairwise.distillation_loss, **temperature), guide="momentum")
        metrics["train/contrast_distillation_loss"] = soft_loss
        loss = loss + shared["distillation"] * (soft_loss - loss)
    metrics |= score_metrics(over(partial(pairwise.score_summary, **temperature)))
    if regulation.pair_loss == "similarity_regulated":
        found = over(partial(pairwise.weight_summary, **given))
        metrics |= {f"train/weight_{name}": value for name, value in found.items()}
    return loss, metrics


def _both_ways(
    over: Callable[..., Any], loss: Callable[..., Any], *, one_walk: bool, **guide: str
) -> jax.Array:
    """Mean of the two directions, which are of the same pairs unless each has its queue."""
    if one_walk:
        total: jax.Array = over(loss, **guide)
        return total
    one_way = partial(loss, symmetric=False)
    return (over(one_way, **guide) + over(one_way, ways=("text", "image"), **guide)) / 2


def _over_pairs(
    sides: Sides,
    queue: Sides | None,
    loss: Callable[..., Any],
    *,
    axis_name: str | None,
    guide: str | None,
    ways: tuple[str, str] = ("image", "text"),
) -> Any:
    """`loss` of the anchors of the batch and the candidates of batch and queue."""
    x, y = (sides[name] for name in ways)
    words: dict[str, Any] = {}
    if queue is not None:
        # Candidates are numbered with the queue's among them: positives are off the diagonal.
        first = 0 if axis_name is None else jax.lax.axis_index(axis_name) * x["where"].size
        row = first + jnp.arange(x["where"].size)
        past = queue[ways[1]]
        past = past | {"momentum": past["embedding"]}
        nobody = jnp.full(past["where"].size, -1, row.dtype)
        words = {"x_positive_id": row, "y_positive_id": jnp.concatenate([row, nobody])}
        y = {name: jnp.concatenate([y[name], past[name]]) for name in y}
    for word in ("where", "group_id"):
        words |= {f"x_{word}": x[word], f"y_{word}": y[word]}
    names = ["embedding"] if guide is None else ["embedding", guide]
    vectors = ({name: side[name] for name in names} for side in (x, y))
    return loss(_cosines, *vectors, axis_name=axis_name, **words)


def _cosines(params: tuple[()], x: Mapping[str, Any], y: Mapping[str, Any]) -> Any:
    """Cosines of all pairs of unit vectors, with what guides the loss beside them.

    Those of a teacher, and the cosines again as similarity; or those of the momentum encoders.
    """
    cosines = {name: dot(params, x[name], y[name]) for name in x}
    scores = cosines["embedding"]
    if "teacher" in x:
        return scores, scores, cosines["teacher"]
    return (scores, cosines["momentum"]) if "momentum" in x else scores
