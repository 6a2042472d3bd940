"""Answering questions about images: an answer is written word by word, or chosen from a list.

Beside what `embeddings` and `fused` list, `apply` holds `decode(params, token_ids [N, L],
token_valid [N, L], question [N, T, D], question_valid [N, T], *, train, key) -> logits [N, L,
vocab_size]`, at place t of the token at place t + 1.
"""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp

from tvdim_jax.losses.matching import label_accuracy
from tvdim_jax.losses.sequences import sequence_log_likelihood
from tvdim_jax.objectives.base import Metrics
from tvdim_jax.objectives.fused import image_tokens
from tvdim_jax.prng import named_key


def answer_objective(
    params: Any,
    variables: Any,
    batch: Mapping[str, jax.Array],
    *,
    apply: Any,
    key: jax.Array,
    step: jax.Array | int,  # noqa: ARG001 - as every objective
) -> tuple[jax.Array, tuple[Metrics, Any]]:
    """The objective of VQA: each answer is likely, the more so the more people gave it.

        loss = sum_{i, a} weight_ia -log p(answer_ia | question_i, image_i) / number of questions

    Args:
      params: of encoders, fusion and decoder.
      variables: what moves without a gradient.
      batch: see `question_states`, with "where" bool `[B]`, "answer_token_ids" int32 and
        "answer_token_valid" bool `[B, A, L]`, [CLS] first and [SEP] last, and "answer_weight" float
        `[B, A]`, 0 = no answer.
      apply: see the module.
      key: the step's key.
      step: has no say.

    Returns:
      The loss (nats), and the metrics "train/answer_loss" and "train/answer_token_accuracy" (of the
      words of all answers, each after the right ones) with the new variables.

    Source: Li et al. 2021 (arXiv 2107.07651), section 5 and appendix.
    """
    question, variables = question_states(
        params, variables, batch, apply=apply, train=True, key=key
    )
    weight = jnp.where(batch["where"][:, None], batch["answer_weight"], 0)
    num_answers = weight.shape[1]
    ids, valid = (
        batch[name].reshape(weight.size, -1) for name in ("answer_token_ids", "answer_token_valid")
    )
    logits = apply.decode(
        params,
        ids,
        valid,
        jnp.repeat(question, num_answers, axis=0),
        jnp.repeat(batch["token_valid"], num_answers, axis=0),
        train=True,
        key=named_key(key, "answer_dropout"),
    )
    nll = -sequence_log_likelihood(logits, ids, valid & (weight.reshape(-1, 1) > 0))
    loss = jnp.sum(weight.reshape(-1) * nll) / jnp.maximum(jnp.sum(batch["where"]), 1)
    where = valid[:, 1:] & (weight.reshape(-1, 1) > 0)
    accuracy = label_accuracy(logits[:, :-1], ids[:, 1:], where=where)
    metrics = {"train/answer_loss": loss, "train/answer_token_accuracy": accuracy}
    return loss, (metrics, variables)


def question_states(
    params: Any,
    variables: Any,
    batch: Mapping[str, jax.Array],
    *,
    apply: Any,
    train: bool,
    key: jax.Array,
) -> tuple[jax.Array, Any]:
    """States of the questions of a batch that have seen their images.

    Args:
      params: of encoders and fusion.
      variables: see `answer_objective`.
      batch: "view" `[B, s, s, C]`, "token_ids" and "token_valid" `[B, T]`.
      apply: see the module.
      train: in training mode.
      key: the step's key; any in evaluation mode.

    Returns:
      `[B, T, D]`, and the new variables.
    """
    image, variables = apply.image(
        params, variables, batch["view"], train=train, key=named_key(key, "image")
    )
    tokens = batch["token_ids"], batch["token_valid"]
    text, variables = apply.text(
        params, variables, *tokens, train=train, key=named_key(key, "text_dropout")
    )
    fused = apply.fusion(
        params,
        text.local_features["tokens"],
        batch["token_valid"],
        image_tokens(image),
        train=train,
        key=named_key(key, "fusion_dropout"),
    )
    return fused.local_features["tokens"], variables


def rank_answers(
    decode: Callable[..., jax.Array],
    question: jax.Array,
    question_valid: jax.Array,
    token_ids: jax.Array,
    token_valid: jax.Array,
    *,
    num_ranked: int = 128,
    count_first_twice: bool = False,
) -> tuple[jax.Array, jax.Array]:
    """The likeliest answers of a closed list to each question.

    The `num_ranked` answers with the likeliest first token are ranked by their whole likelihood.
    Questions are taken one after the other, so that memory holds the logits of one.

    Args:
      decode: `decode(token_ids, token_valid, question, question_valid) -> logits`, as that of
        `apply`, in evaluation mode.
      question: `[B, T, D]`, see `question_states`.
      question_valid: bool `[B, T]`.
      token_ids: int32 `[C, L]` of the answers, [CLS] first, [SEP] last, L >= 2.
      token_valid: bool `[C, L]`.
      num_ranked: answers to rank; with more than there are, it is all of them.
      count_first_twice: adds the first token's log-probability once more, as ALBEF's code does.

    Returns:
      Numbers of the answers int32 `[B, k]`, the likeliest first, and their log-likelihoods.

    Raises:
      ValueError: num_ranked below 1.

    Source: Li et al. 2021 (arXiv 2107.07651) as released, up to counting the first token once.
    """
    if num_ranked < 1:
        raise ValueError(f"num_ranked: got {num_ranked}, wanted 1 or more answers; 128 is usual")
    token_ids, token_valid = jnp.asarray(token_ids), jnp.asarray(token_valid)
    count = min(num_ranked, len(token_ids))
    starts = (
        jnp.broadcast_to(each[:1, :1], (len(question), 1)) for each in (token_ids, token_valid)
    )
    logits = decode(*starts, question, question_valid)[:, 0]
    first = jax.nn.log_softmax(logits.astype(jnp.float32))[:, token_ids[:, 1]]

    def rank(each: tuple[jax.Array, ...]) -> tuple[jax.Array, jax.Array]:
        states, valid, first = each
        _, chosen = jax.lax.top_k(first, count)
        ids, ids_valid = token_ids[chosen], token_valid[chosen]
        asked = (jnp.broadcast_to(x[None], (count, *x.shape)) for x in (states, valid))
        found = sequence_log_likelihood(decode(ids, ids_valid, *asked), ids, ids_valid)
        if count_first_twice:
            found = found + first[chosen]
        found, order = jax.lax.top_k(found, count)
        return chosen[order].astype(jnp.int32), found

    return jax.lax.map(rank, (question, question_valid, first))
