"""Answers by linear nets: the loss against a loop, the ranking against the whole list."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.reference.linear_pairs import VOCABULARY, WIDTH, inputs, make_apply
from tests.reference.losses import quick_jit
from tvdim_jax.objectives.answers import answer_objective, question_states, rank_answers

KEY = jax.random.key(3)
NUM, ANSWERS, LONG = 4, 3, 4


def decode(params, token_ids, token_valid, question, question_valid, *, train, key):
    """Each place sees its word, those before it and the mean of the question."""
    words = params["tokens"][token_ids] * token_valid[..., None]
    asked = jnp.sum(question * question_valid[..., None], axis=1, keepdims=True)
    return jnp.tanh(jnp.cumsum(words, axis=1) + asked @ params["ask"]) @ params["say"]


APPLY = make_apply(decode=decode)
run_objective = quick_jit(
    jax.value_and_grad(partial(answer_objective, apply=APPLY, key=KEY, step=0), has_aux=True)
)


def answers(rng, num):
    """Rows [CLS] = 0, up to two words, [SEP] = 1, padding."""
    ids = np.zeros((num, LONG), np.int32)
    length = rng.integers(1, 3, num)
    ids[:, 1:3] = rng.integers(2, VOCABULARY, (num, 2))
    ids[np.arange(num), 1 + length] = 1
    valid = np.arange(LONG) < (length + 2)[:, None]
    return np.where(valid, ids, 0), valid


def case():
    params, _, batch = inputs(NUM)
    rng = np.random.default_rng(1)
    params |= {
        "ask": jnp.asarray(rng.normal(size=(WIDTH, WIDTH)), jnp.float32),
        "say": jnp.asarray(rng.normal(size=(WIDTH, VOCABULARY)), jnp.float32),
    }
    ids, valid = answers(rng, NUM * ANSWERS)
    return params, batch | {
        "answer_token_ids": ids.reshape(NUM, ANSWERS, LONG),
        "answer_token_valid": valid.reshape(NUM, ANSWERS, LONG),
        "answer_weight": np.array([[0.5, 0.3, 0], [1, 0, 0], [0, 0, 0], [0.2] * 3], np.float32),
    }


def log_likelihood(params, states, valid, ids):
    """Of one answer, a list of ids with its start, by one call for each word."""
    total = 0.0
    for place in range(1, len(ids)):
        head = np.array(ids[:place])[None]
        logits = decode(params, head, head >= 0, states[None], valid[None], train=False, key=None)
        row = np.asarray(logits[0, -1], np.float64)
        total += row[ids[place]] - np.log(np.exp(row).sum())
    return total


def states_of(params, batch):
    return question_states(params, {}, batch, apply=APPLY, train=False, key=KEY)[0]


def test_the_loss_equals_a_loop_over_questions_answers_and_words():
    params, batch = case()
    batch["where"] = np.array([True, True, True, False])
    (loss, (metrics, _)), _ = run_objective(params, {}, batch)
    states, wanted = states_of(params, batch), 0.0
    for i in range(3):
        for a in range(ANSWERS):
            ids = batch["answer_token_ids"][i, a][batch["answer_token_valid"][i, a]]
            found = log_likelihood(params, states[i], batch["token_valid"][i], ids)
            wanted -= batch["answer_weight"][i, a] * found
    np.testing.assert_allclose(loss, wanted / 3, rtol=1e-5)
    np.testing.assert_allclose(metrics["train/answer_loss"], loss)
    assert 0 <= float(metrics["train/answer_token_accuracy"]) <= 1


def test_what_does_not_count_has_no_say_and_nothing_gives_0():
    params, batch = case()
    batch["where"] = np.array([True, False, True, True])
    first, gradient = run_objective(params, {}, batch)
    changed = {name: each.copy() for name, each in batch.items()}
    changed["answer_token_ids"][0, 2] = 5  # its weight is 0
    changed["answer_weight"][1] = 0.7  # its row is not real
    changed["view"][1] = 1e3
    again, same = run_objective(params, {}, changed)
    np.testing.assert_allclose(again[0], first[0], rtol=1e-6)
    jax.tree.map(partial(np.testing.assert_allclose, atol=1e-5), same, gradient)
    batch["where"][:] = False
    (nothing, _), gradient = run_objective(params, {}, batch)
    assert float(nothing) == 0
    assert not any(np.any(leaf) for leaf in jax.tree.leaves(gradient))


@pytest.mark.parametrize("twice", [False, True])
@pytest.mark.parametrize("num_ranked", [3, 100])
def test_ranking_is_a_full_search_within_the_likeliest_starts(num_ranked, twice):
    params, batch = case()
    ids, valid = answers(np.random.default_rng(2), 8)
    states = states_of(params, batch)
    asked = partial(decode, params, train=False, key=None)
    options = {"num_ranked": num_ranked, "count_first_twice": twice}
    # The list as NumPy arrays that the compiled function holds, as an evaluation has it.
    rank = quick_jit(lambda *states: rank_answers(asked, *states, ids, valid, **options))
    chosen, found = rank(states, batch["token_valid"])
    assert chosen.shape == found.shape == (NUM, min(num_ranked, 8))
    for i in range(NUM):
        of = partial(log_likelihood, params, states[i], batch["token_valid"][i])
        start = np.array([of(ids[a, :2]) for a in range(8)])
        total = np.array([of(ids[a][valid[a]]) for a in range(8)]) + twice * start
        listed = np.argsort(-start, kind="stable")[:num_ranked]
        wanted = sorted(listed, key=lambda a: -total[a])
        assert chosen[i].tolist() == wanted
        np.testing.assert_allclose(found[i], total[wanted], rtol=1e-4)


def test_ranking_refuses_an_empty_list():
    with pytest.raises(ValueError, match="num_ranked: got 0, wanted 1 or more answers"):
        rank_answers(decode, *[np.zeros((1, 2))] * 4, num_ranked=0)
