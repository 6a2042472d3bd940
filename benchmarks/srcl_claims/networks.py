"""Two small nets that meet in a cosine: small enough that all seeds train at once."""

from typing import Any

import jax
import jax.numpy as jnp

from benchmarks.srcl_claims.descriptions import NUM_PLACES, Array
from tvdim_jax.objectives.temperature import FIRST_TEMPERATURE

WIDTH, EMBEDDING = 256, 64
NUM_WORDS = 16  # at least those of any place

Params = dict[str, Any]


def init(key: jax.Array, image_width: int) -> Params:
    """Fresh parameters, and a temperature of 0.07.

    Args:
      key: of the draw.
      image_width: D, of the images' features.
    """
    params: Params = {"temperature": jnp.float32(FIRST_TEMPERATURE)}
    for number, (name, width) in enumerate(
        {"image": image_width, "text": NUM_PLACES * NUM_WORDS}.items()
    ):
        first, second = jax.random.split(jax.random.fold_in(key, number))
        params[name] = {"hidden": _layer(first, width, WIDTH)}
        params[name]["out"] = _layer(second, WIDTH, EMBEDDING)
    return params


def cosines(params: Params, images: Array, words: Array) -> jax.Array:
    """Scores `[n, m]` of images `[n, D]` and descriptions int `[m, 6]`."""
    return embed_images(params, images) @ embed_texts(params, words).T


def embed_images(params: Params, images: Array) -> jax.Array:
    """Unit vectors `[n, 64]` of images `[n, D]`."""
    return _unit(_linear(params["image"]["out"], hidden(params["image"], images)))


def embed_texts(params: Params, words: Array) -> jax.Array:
    """Unit vectors `[n, 64]` of descriptions int `[n, 6]`; what is not said is a place of zeros."""
    said = jax.nn.one_hot(words, NUM_WORDS).reshape(words.shape[0], -1)
    return _unit(_linear(params["text"]["out"], hidden(params["text"], said)))


def hidden(net: Params, x: Array) -> jax.Array:
    """The layer before the embedding, `[n, 256]`: what a probe reads."""
    return jax.nn.gelu(_linear(net["hidden"], x))


def _layer(key: jax.Array, inputs: int, outputs: int) -> Params:
    scale = inputs**-0.5
    weights = scale * jax.random.normal(key, (inputs, outputs))
    return {"weights": weights, "bias": jnp.zeros(outputs)}


def _linear(layer: Params, x: Array) -> jax.Array:
    return jnp.asarray(x) @ layer["weights"] + layer["bias"][None]


def _unit(x: jax.Array) -> jax.Array:
    return x / jnp.linalg.norm(x, axis=-1, keepdims=True)
