"""VQA and NLVR2 from their files to their scores, on pictures of one colour."""

from functools import partial

import jax
import numpy as np
import optax
import pytest

from tests.reference.downstream_sets import NAMES, write_nlvr, write_vqa
from tests.reference.losses import quick_jit
from tests.reference.tiny_downstream import (
    QUESTION_WORDS,
    SENTENCE_WORDS,
    apply_of,
    first_params,
    modules,
    pixels,
    tokenizer,
)
from tests.reference.tiny_srcl import SIDE
from tvdim_jax.data.answers import frequent_answers
from tvdim_jax.data.bad_examples import BadExamples
from tvdim_jax.data.sources.nlvr import read_nlvr
from tvdim_jax.data.sources.vqa import read_vqa
from tvdim_jax.data.task_streams import (
    answer_eval_batches,
    make_answer_stream,
    make_pair_stream,
    pair_eval_batches,
)
from tvdim_jax.evals.vqa import vqa_accuracy
from tvdim_jax.objectives.answers import answer_objective, question_states, rank_answers
from tvdim_jax.objectives.image_pairs import (
    make_assignment_objective,
    pair_logits,
    pair_objective,
)
from tvdim_jax.prng import step_key

PARTS = modules(dropout=0.1)
APPLY = apply_of(PARTS)
KEY = jax.random.key(0)
QUESTIONS, SENTENCES = tokenizer(QUESTION_WORDS), tokenizer(SENTENCE_WORDS)
ANSWERS = QUESTIONS.resized(add_sep=True, max_length=4)
STREAM = {"image_size": SIDE, "seed": 0, "num_threads": 2}


def views_of(batch):
    """A batch as objectives want it, of one image or of two."""
    image = pixels(batch.pop("image"))
    return batch | ({"view": image} if image.ndim == 4 else {"views": tuple(image.swapaxes(0, 1))})


def train(objective, stream, num_steps):
    """The last parameters and the mean metrics of the last 20 steps."""
    tx = optax.adam(optax.warmup_cosine_decay_schedule(0, 2e-3, 30, num_steps))
    params = first_params(PARTS)

    @jax.jit
    def update(params, state, batch, step):
        loss_of = partial(objective, apply=APPLY, key=step_key(KEY, step), step=step)
        gradient, (metrics, _) = jax.grad(loss_of, has_aux=True)(params, {}, batch)
        updates, state = tx.update(gradient, state)
        return optax.apply_updates(params, updates), state, metrics

    state, kept = tx.init(params), []
    for step in range(num_steps):
        params, state, metrics = update(params, state, views_of(next(stream)), step)
        kept.append(metrics)
    stream.close()
    return params, {name: np.mean([m[name] for m in kept[-20:]]) for name in kept[0]}


def reached(objective, batch):
    """The nets that one step's gradient reaches; without dropout, which takes long to compile."""
    parts = modules(dropout=0.0)
    loss_of = partial(objective, apply=apply_of(parts), key=KEY, step=0)
    both = quick_jit(jax.value_and_grad(loss_of, has_aux=True))
    (loss, _), gradient = both(first_params(parts), {}, batch)
    assert np.isfinite(loss)
    return {name for name, tree in gradient.items() if any(map(np.any, jax.tree.leaves(tree)))}


def test_one_step_of_each_task_reaches_all_its_nets(tmp_path):
    write_vqa(tmp_path)
    write_nlvr(tmp_path)
    options = STREAM | {"global_batch_size": 4, "ledger": BadExamples()}
    stream = make_answer_stream(read_vqa(tmp_path, "train"), QUESTIONS, ANSWERS, **options)
    questions = views_of(next(stream))
    stream.close()
    stream = make_pair_stream(read_nlvr(tmp_path, "dev"), SENTENCES, **options)
    pairs = views_of(next(stream))
    stream.close()
    assert reached(answer_objective, questions) == {"image", "text", "fusion", "decoder"}
    nets = {"image", "text", "pair_fusion", "pair_head"}
    assert reached(pair_objective, pairs) == nets
    nets = {"image", "text", "pair_fusion", "assignment_head"}
    assert reached(make_assignment_objective(), questions) == nets


@pytest.mark.slow
def test_vqa_learns_to_answer(tmp_path):
    write_vqa(tmp_path, num_images=64)
    write_vqa(tmp_path, part="val2014", num_images=30)
    train_set, test_set = (read_vqa(tmp_path, split) for split in ("train", "val"))
    stream = make_answer_stream(
        train_set, QUESTIONS, ANSWERS, global_batch_size=32, ledger=BadExamples(), **STREAM
    )
    params, metrics = train(answer_objective, stream, 250)
    closed = frequent_answers(train_set.answers, at_least=9)
    assert set(closed) == {*NAMES, "yes", "no"}
    token_ids, token_valid = ANSWERS.encode(closed)

    @jax.jit
    def answer(batch):
        states, _ = question_states(params, {}, batch, apply=APPLY, train=False, key=KEY)
        decode = partial(APPLY.decode, params, train=False, key=None)
        valid = batch["token_valid"]
        return rank_answers(decode, states, valid, token_ids, token_valid, num_ranked=4)[0][:, 0]

    predictions = {}
    for batch in answer_eval_batches(test_set, QUESTIONS, image_size=SIDE, batch_size=32):
        chosen = np.asarray(answer(views_of(dict(batch))))
        real = batch["where"]
        predictions |= dict(zip(batch["image_id"][real], chosen[real], strict=True))
    given = [closed[predictions[row]] for row in range(len(test_set.answers))]
    found = vqa_accuracy(given, test_set.answers)["soft_accuracy"]
    blind = max(vqa_accuracy([a] * len(given), test_set.answers)["soft_accuracy"] for a in closed)
    assert found > 0.9 > blind + 0.3, (found, blind, metrics)


@pytest.mark.slow
def test_nlvr_learns_to_compare(tmp_path):
    write_nlvr(tmp_path, split="train", num_pairs=120)
    write_nlvr(tmp_path, split="dev", num_pairs=40, seed=2)
    stream = make_pair_stream(
        read_nlvr(tmp_path, "train"), SENTENCES, global_batch_size=32, ledger=BadExamples(),
        **STREAM,
    )  # fmt: skip
    params, metrics = train(pair_objective, stream, 400)
    right, count, common = 0, 0, []
    score = jax.jit(
        lambda batch: pair_logits(params, {}, batch, apply=APPLY, train=False, key=KEY)[0]
    )
    pairs = read_nlvr(tmp_path, "dev")
    for batch in pair_eval_batches(pairs, SENTENCES, image_size=SIDE, batch_size=32):
        found = np.argmax(score(views_of(dict(batch))), axis=1)
        right += np.sum((found == batch["label"])[batch["where"]])
        count += np.sum(batch["where"])
        common += batch["label"][batch["where"]].tolist()
    assert count == 80
    majority = max(np.mean(common), 1 - np.mean(common))
    assert right / count > 0.9 > majority + 0.1, (right / count, majority, metrics)
