"""SRCL: regulated contrast of images and texts, image-text matching, and masked language."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.sharding import Mesh

from tvdim_jax.losses.matching import MaskedTokens, mask_tokens
from tvdim_jax.losses.similarity_regulated import Norm
from tvdim_jax.objectives.base import Metrics, Objective, rank_metrics
from tvdim_jax.objectives.contrast import ContrastLoss, Regulation, check_regulation, contrast
from tvdim_jax.objectives.embeddings import Sides, ask_teacher, encode, with_word
from tvdim_jax.objectives.fused import WordTeacher, image_tokens, matching_term, word_term
from tvdim_jax.objectives.momentum import enqueue, moved_average
from tvdim_jax.objectives.temperature import bounded_temperature


def make_srcl_objective(
    *,
    vocab_size: int,
    mask_id: int,
    never_masked: Sequence[int] = (),
    mask_rate: float = 0.15,
    pair_loss: ContrastLoss = "similarity_regulated",
    norm: Norm = "ratio",
    delta: float = 1.0,
    weight_gradient: bool = False,
    teacher_share: float = 0.0,
    teacher_steps: int = 0,
    contrast_weight: float = 1.0,
    matching_weight: float = 1.0,
    word_weight: float = 1.0,
    matching_group: int = 64,
    average_decay: float = 0.995,
    distillation: float = 0.0,
    distillation_steps: int = 0,
    mesh: Mesh | None = None,
) -> Objective:
    """The SRCL objective, `L = L_contrast + L_matching + L_words`, each times its weight, nats.

    Args:
      vocab_size: word pieces.
      mask_id: the piece that stands for a hidden word.
      never_masked: ids that are never hidden, such as that of [SEP]; [CLS] and padding never are.
      mask_rate: chance of a word to be hidden.
      pair_loss: see `make_clip_objective`; "info_nce" with share 0 gives ALBEF.
      norm: see `make_clip_objective`.
      delta: see `make_clip_objective`.
      weight_gradient: see `make_clip_objective`.
      teacher_share: see `make_clip_objective`.
      teacher_steps: see `make_clip_objective`.
      contrast_weight: >= 0; 0 leaves the term out, and matching draws its negatives evenly.
      matching_weight: >= 0; 0 leaves the term out.
      word_weight: >= 0; 0 leaves the term out.
      matching_group: pairs of the global batch out of which hard negatives are drawn, see
        `matching_term`.
      average_decay: in [0, 1), of the momentum encoders.
      distillation: in 0..1, share of the momentum encoders in the targets of contrast and words.
      distillation_steps: updates in which that share rises from 0, along a line; 0: it is constant.
      mesh: of one axis, over whose devices the batch is split; None for a batch on one device.

    Returns:
      An objective as of `make_clip_objective`, whose params hold those of the fusion, too, and
      whose `apply` is that of `tvdim_jax.objectives.fused`. In `variables` it reads and moves

      - "average": see `moved_average`, of the branches of params that are there, which must be all
        that embeddings need and with distillation all that words need, too; moved before it is
        used, in evaluation mode. Left out for a run without.
      - "queue": see `empty_queue`, with a teacher_width exactly if a teacher is used; what it takes
        in are embeddings of the average, or of the student without one. Left out for a run without.

      It leaves all else as it is, such as the teacher. Metrics are those of `contrast`,
      `matching_term` and `word_term`, and "train/feature_rank" as of `make_clip_objective`.

    Raises:
      ValueError: an option out of its range, no term; when traced, a queue or average that does not
        fit, or an image encoder without tokens for the fusion.

    Source: Jiang et al. 2023 (arXiv 2305.04474) on Li et al. 2021 (arXiv 2107.07651); docs/srcl.md
    lists what they leave open.
    """
    options = _Options(
        regulation=Regulation(
            pair_loss, norm, delta, weight_gradient, teacher_share, teacher_steps
        ),
        weights={"contrast": contrast_weight, "matching": matching_weight, "words": word_weight},
        mask=partial(
            mask_tokens, vocab_size=vocab_size, mask_id=mask_id, never=never_masked, rate=mask_rate
        ),
        matching_group=matching_group,
        average_decay=average_decay,
        distillation=distillation,
        distillation_steps=distillation_steps,
        mesh=mesh,
    )
    _check(options)
    return partial(_objective, options)


class _Options(NamedTuple):
    """See `make_srcl_objective`; `weights` by the names of the terms."""

    regulation: Regulation
    weights: Mapping[str, float]
    mask: Callable[..., MaskedTokens]
    matching_group: int
    average_decay: float
    distillation: float
    distillation_steps: int
    mesh: Mesh | None

    @property
    def asks_teacher(self) -> bool:
        """Whether the frozen teacher has any say."""
        return bool(self.regulation.teacher_share and self.weights["contrast"])


def _objective(
    options: _Options,
    params: Any,
    variables: Any,
    batch: Mapping[str, Any],
    *,
    apply: Any,
    key: jax.Array,
    step: jax.Array | int,
) -> tuple[jax.Array, tuple[Metrics, Any]]:
    _check_variables(options, variables)
    temperature = bounded_temperature(params["temperature"])
    encoded, variables = encode(params, variables, batch, apply=apply, train=True, key=key)
    sides = encoded.sides
    if options.asks_teacher:
        share = options.regulation.share(step)
        told = ask_teacher(variables, batch, apply=apply, share=share)
        sides = with_word(sides, "teacher", told)
    slow, variables = _momentum(options, params, variables, batch, apply=apply, key=key, step=step)
    if slow is not None:
        sides = with_word(sides, "momentum", slow.embeddings)
    terms = {}
    if options.weights["contrast"]:
        terms["contrast"] = contrast(
            options.regulation,
            sides,
            variables.get("queue"),
            temperature=temperature,
            step=step,
            mesh=options.mesh,
            distillation=slow and slow.share,
        )
    if options.weights["matching"]:
        terms["matching"] = matching_term(
            params,
            batch,
            encoded,
            apply=apply,
            # Similarities that nothing trains here would tell drawn pairs from true ones.
            temperature=temperature if "contrast" in terms else jnp.float32(jnp.inf),
            group_size=options.matching_group,
            key=key,
        )
    if options.weights["words"]:
        terms["words"] = word_term(
            params,
            variables,
            batch,
            image_tokens(encoded.image),
            apply=apply,
            mask=options.mask,
            key=key,
            teacher=slow and slow.words,
        )
    if "queue" in variables:
        variables = {**variables, "queue": enqueue(variables["queue"], _latest(sides))}
    loss = sum((options.weights[name] * loss for name, (loss, _) in terms.items()), jnp.zeros(()))
    metrics = rank_metrics(encoded.image.global_features, options.mesh, batch["where"])
    metrics |= {name: value for _, found in terms.values() for name, value in found.items()}
    return loss, (metrics, variables)


class _Slow(NamedTuple):
    """What the momentum encoders say of a batch.

    Attributes:
      embeddings: "image" and "text" `[B, E]`.
      share: of their targets in the contrast; None without distillation.
      words: the same for words; None without.
    """

    embeddings: dict[str, jax.Array]
    share: jax.Array | None
    words: WordTeacher | None


def _momentum(
    options: _Options,
    params: Any,
    variables: Any,
    batch: Mapping[str, Any],
    *,
    apply: Any,
    key: jax.Array,
    step: jax.Array | int,
) -> tuple[_Slow | None, Any]:
    """Moves the average; asks it where a queue or distillation wants to know."""
    if "average" not in variables:
        return None, variables
    average = moved_average(variables["average"], params, options.average_decay)
    variables = {**variables, "average": average}
    if not (options.distillation or "queue" in variables):
        return None, variables
    slow_params = jax.lax.stop_gradient({**params, **average})
    encoded, _ = encode(slow_params, variables, batch, apply=apply, train=False, key=key)
    embeddings = {name: side["embedding"] for name, side in encoded.sides.items()}
    if not options.distillation:
        return _Slow(embeddings, None, None), variables
    share = jnp.asarray(options.distillation, jnp.float32)
    if options.distillation_steps:
        share = share * jnp.minimum(1, jnp.asarray(step, jnp.float32) / options.distillation_steps)
    words = WordTeacher(slow_params, image_tokens(encoded.image), share)
    return _Slow(embeddings, share, words), variables


def _latest(sides: Sides) -> Sides:
    """What the queue takes in: momentum embeddings where there are any."""
    return {
        name: side | {"embedding": side.get("momentum", side["embedding"])}
        for name, side in sides.items()
    }


def _check(options: _Options) -> None:
    check_regulation(options.regulation)
    weights = options.weights
    if min(weights.values()) < 0 or not sum(weights.values()) > 0:
        raise ValueError(
            f"weights: got {dict(weights)}, wanted all at least 0 and one above 0; 1 each is the "
            "paper's sum"
        )
    if not 0 <= options.average_decay < 1:
        raise ValueError(
            f"average_decay: got {options.average_decay}, wanted 0 or more and less than 1; 0.995 "
            "is usual"
        )
    if not (0 <= options.distillation <= 1 and options.distillation_steps >= 0):
        raise ValueError(
            f"distillation: got {options.distillation} after {options.distillation_steps} steps, "
            "wanted 0..1 after 0 or more; 0 for none, 0.4 is ALBEF's"
        )


def _check_variables(options: _Options, variables: Mapping[str, Any]) -> None:
    if options.distillation and "average" not in variables:
        raise ValueError(
            f"variables: got {sorted(variables)} with distillation {options.distillation}, wanted "
            "'average' among them, the momentum encoders; put a copy of the params there"
        )
    if "queue" not in variables:
        return
    words = sorted(variables["queue"]["image"])
    if options.asks_teacher != ("teacher" in words):
        wanted = "with" if options.asks_teacher else "without"
        raise ValueError(
            f"queue: got one of {words}, wanted it {wanted} 'teacher' for a teacher_share of "
            f"{options.regulation.teacher_share}; see teacher_width of empty_queue"
        )
