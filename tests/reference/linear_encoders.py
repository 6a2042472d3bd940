"""Linear image and text encoders, and a batch for them: an objective without a network."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from tvdim_jax.features import Features

BATCH, DEPTH, LENGTH, VOCABULARY = 5, 6, 4, 11
SCORE_METRICS = {
    "train/mi_image_text_nats",
    "train/loss_over_log_n",
    "train/positive_score",
    "train/hardest_negative_score",
}


def apply_image(params, variables, images, *, train, key):
    """Linear maps of the pixels; counts its calls in the statistics."""
    assert train
    maps = {h: images[:, :h, :h] @ params[f"r{h}"] for h in (1, 5, 7)}
    statistics = variables["batch_stats"]
    statistics = statistics | {"image": statistics["image"] + 1}
    return Features(maps[1][:, 0, 0], {5: maps[5], 7: maps[7]}), {"batch_stats": statistics}


def apply_text(params, variables, token_ids, token_valid, *, train, key):
    """Mean of token vectors; remembers how many images came before it."""
    assert train
    vectors = params["tokens"][token_ids] * token_valid[:, :, None]
    statistics = variables["batch_stats"]
    statistics = statistics | {"text": statistics["image"]}
    return Features(jnp.mean(vectors, axis=1), {}), {"batch_stats": statistics}


def inputs(batch_size=BATCH):
    rng = np.random.default_rng(8)
    params = {f"r{h}": rng.normal(size=(3, DEPTH)) for h in (1, 5, 7)}
    params["tokens"] = rng.normal(size=(VOCABULARY, DEPTH))
    batch = {
        "views": tuple(rng.normal(size=(2, batch_size, 7, 7, 3)).astype(np.float32)),
        "token_ids": rng.integers(0, VOCABULARY, (batch_size, LENGTH)),
        "token_valid": np.arange(LENGTH) < rng.integers(1, LENGTH + 1, (batch_size, 1)),
        "image_id": np.arange(batch_size, dtype=np.int32),
        "text_id": np.arange(batch_size, dtype=np.int32) + 100,
        "where": np.ones(batch_size, bool),
    }
    variables = {"batch_stats": {"image": jnp.zeros(()), "text": jnp.zeros(())}}
    return jax.tree.map(partial(jnp.asarray, dtype=jnp.float32), params), variables, batch
