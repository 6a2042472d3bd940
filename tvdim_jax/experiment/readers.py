"""Trained nets of VQA and NLVR2 in evaluation mode: which answer is likely, is a sentence true."""

import functools
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np
from jax.sharding import NamedSharding

from tvdim_jax.experiment.model import Model
from tvdim_jax.experiment.views import make_plain_view
from tvdim_jax.objectives.answers import question_states, rank_answers
from tvdim_jax.objectives.image_pairs import pair_logits

# (batch, answers [C, L], their valid [C, L], number to rank k) -> numbers of the best [B, k]
Rank = Callable[[Mapping[str, Any], np.ndarray, np.ndarray, int], Any]
# batch with "image" [B, 2, S, S, 3] -> logits [B, 2], the second one "true"
Judge = Callable[[Mapping[str, Any]], Any]

_READ = ("image", "token_ids", "token_valid")


def make_rank(
    model: Model, params: Any, variables: Any, rows: NamedSharding, view_of: tuple[str, int]
) -> Rank:
    """The ranking of a closed list of answers to each question of a batch.

    Args:
      model: with a decoder of answers.
      params: its parameters, on the devices.
      variables: its variables.
      rows: how a batch lies on the devices.
      view_of: preset of augment and pixels of a side.
    """
    rank = _compiled_rank(model, *view_of)

    def rank_batch(
        batch: Mapping[str, Any], answer_ids: np.ndarray, answer_valid: np.ndarray, num_ranked: int
    ) -> jax.Array:
        asked = jax.device_put({name: batch[name] for name in _READ}, rows)
        found: jax.Array = rank(
            params, variables, asked, answer_ids, answer_valid, num_ranked=num_ranked
        )
        return found

    return rank_batch


def make_judge(
    model: Model, params: Any, variables: Any, rows: NamedSharding, view_of: tuple[str, int]
) -> Judge:
    """Whether each sentence of a batch is true of its two images; see `make_rank`."""
    judge = _compiled_judge(model, *view_of)

    def judge_batch(batch: Mapping[str, Any]) -> jax.Array:
        asked = jax.device_put({name: batch[name] for name in _READ}, rows)
        logits: jax.Array = judge(params, variables, asked)
        return logits

    return judge_batch


@functools.lru_cache(maxsize=1)  # one compilation serves all evaluations of a run
def _compiled_rank(model: Any, augment: str, image_size: int) -> Callable[..., jax.Array]:
    view = make_plain_view(augment, image_size)

    @functools.partial(jax.jit, static_argnames="num_ranked")
    def rank(
        params: Any,
        variables: Any,
        batch: Any,
        ids: jax.Array,
        valid: jax.Array,
        *,
        num_ranked: int,
    ) -> jax.Array:
        seen = {**batch, "view": view(batch["image"])}
        key = jax.random.key(0)  # not read in evaluation mode
        states, _ = question_states(params, variables, seen, apply=model, train=False, key=key)
        decode = functools.partial(model.decode, params, train=False, key=None)
        return rank_answers(
            decode, states, batch["token_valid"], ids, valid, num_ranked=num_ranked
        )[0]

    return rank


@functools.lru_cache(maxsize=1)  # as above
def _compiled_judge(model: Any, augment: str, image_size: int) -> Callable[..., jax.Array]:
    view = make_plain_view(augment, image_size)

    @jax.jit
    def judge(params: Any, variables: Any, batch: Any) -> jax.Array:
        views = tuple(view(batch["image"][:, side]) for side in (0, 1))
        key = jax.random.key(0)  # as above
        logits, _ = pair_logits(
            params, variables, {**batch, "views": views}, apply=model, train=False, key=key
        )
        return logits

    return judge
