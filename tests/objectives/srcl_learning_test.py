"""Matching alone and masked words alone learn on pictures of one colour and its name."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from tests.reference.tiny_srcl import (
    LENGTH,
    MASK_ID,
    SIDE,
    VOCABULARY,
    init,
    make_apply,
    nets,
)
from tvdim_jax.objectives import make_srcl_objective
from tvdim_jax.prng import step_key

pytestmark = pytest.mark.slow
NUM_COLOURS, FIRST_WORD, BATCH = 8, 5, 64


def batch_of(key):
    """Images of one colour, and its name: a text of one word, which the image alone tells."""
    colours = jax.random.randint(jax.random.fold_in(key, 0), (BATCH,), 0, NUM_COLOURS)
    table = jnp.asarray(np.random.default_rng(0).normal(size=(NUM_COLOURS, 3)), jnp.float32)
    noise = jax.random.normal(jax.random.fold_in(key, 1), (BATCH, SIDE, SIDE, 3))
    words = jnp.stack([jnp.full(BATCH, 2), FIRST_WORD + colours], axis=1)
    token_ids = jnp.pad(words, ((0, 0), (0, LENGTH - 2)))
    return {
        "view": table[colours][:, None, None] + 0.1 * noise,
        "token_ids": token_ids,
        "token_valid": token_ids > 0,
        "image_id": colours,  # equal pictures are nobody's negatives
        "text_id": colours,
        "where": jnp.ones(BATCH, bool),
    }


def train(num_steps, **options):
    """Mean metrics of the last 50 steps of a fresh run, each on new pictures."""
    modules = nets(width=32, depth=1, heads=4, dropout=0.0)
    objective = make_srcl_objective(
        vocab_size=VOCABULARY, mask_id=MASK_ID, matching_group=16, **options
    )
    tx = optax.adam(optax.warmup_cosine_decay_schedule(0, 1e-3, 50, num_steps))
    apply, root = make_apply(modules), jax.random.key(0)

    def update(carry, step):
        params, opt_state = carry
        key = step_key(root, step)
        loss_of = jax.grad(partial(objective, apply=apply, key=key, step=step), has_aux=True)
        gradient, (metrics, _) = loss_of(params, {}, batch_of(jax.random.fold_in(key, 9)))
        updates, opt_state = tx.update(gradient, opt_state)
        return (optax.apply_updates(params, updates), opt_state), metrics

    params = init(modules, jax.random.key(1))
    run = jax.jit(lambda carry: jax.lax.scan(update, carry, jnp.arange(num_steps))[1])
    metrics = run((params, tx.init(params)))
    return {name: float(np.mean(values[-50:])) for name, values in metrics.items()}


def test_matching_alone_tells_wrong_pairs():
    metrics = train(500, contrast_weight=0.0, word_weight=0.0)
    assert metrics["train/matching_accuracy"] > 0.9  # 2/3 by always saying no


def test_words_alone_are_read_off_the_image():
    metrics = train(500, contrast_weight=0.0, matching_weight=0.0, mask_rate=0.5)
    assert metrics["train/word_loss"] < 0.3 * np.log(NUM_COLOURS)  # the unigram's is all of it
    assert metrics["train/word_accuracy"] > 0.9
