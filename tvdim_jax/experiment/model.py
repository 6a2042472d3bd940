"""From config names to pure encoder functions."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict

from tvdim_jax.config import uses_text
from tvdim_jax.features import Features
from tvdim_jax.models.heads import ResidualHead
from tvdim_jax.models.variants import make_image_encoder, make_text_encoder
from tvdim_jax.prng import named_key

# (params, variables, ..., *, train, key) -> (Features, new_variables)
Encode = Callable[..., tuple[Features, Any]]


class Model(NamedTuple):
    """Pure functions of one model; objectives take it as `apply`.

    Attributes:
      init: `init(key) -> (params, variables)`.
      image: `image(params, variables, images [B, s, s, 3], *, train, key)`.
      text: `text(params, variables, token_ids [B, T], token_valid [B, T], *, train, key)`; its
        global features have the width of the image's. None where the run has no text.
    """

    init: Callable[[jax.Array], tuple[Any, Any]]
    image: Encode
    text: Encode | None


def make_model(config: ConfigDict, vocab_size: int) -> Model:
    """The encoders that the config names.

    Args:
      config: of the run.
      vocab_size: word pieces of the tokenizer; unused without text.
    """
    dtype = jnp.dtype(config.model.dtype)
    size = config.model.image_size
    encoder = make_image_encoder(config.model.image, image_size=size, dtype=dtype)

    def image(
        params: Any, variables: Any, images: jax.Array, *, train: bool, key: jax.Array | None
    ) -> tuple[Features, Any]:
        del key  # the image encoder draws nothing
        return _apply(encoder, "image", params, variables, images, train=train)

    def init_image(key: jax.Array) -> Any:
        return encoder.init(named_key(key, "image"), jnp.zeros((2, size, size, 3)), train=False)

    if not uses_text(config):
        return Model(jax.jit(lambda key: _join({"image": init_image(key)})), image, None)

    max_length = config.tokenizer.max_length
    transformer = make_text_encoder(
        config.model.text, vocab_size=vocab_size, max_length=max_length, dtype=dtype
    )
    head = ResidualHead(encoder.rkhs, dtype=dtype)

    def text(
        params: Any,
        variables: Any,
        token_ids: jax.Array,
        token_valid: jax.Array,
        *,
        train: bool,
        key: jax.Array | None,
    ) -> tuple[Features, Any]:
        rngs: dict[str, Any] = {"dropout": key} if train else {}
        tokens: Any = transformer.apply(
            {"params": params["text"]}, token_ids, token_valid, train=train, rngs=rngs
        )
        vector, variables = _apply(
            head, "text_head", params, variables, tokens.global_features, train=train
        )
        return Features(vector, tokens.local_features), variables

    def init(key: jax.Array) -> tuple[Any, Any]:
        ids = jnp.zeros((2, max_length), jnp.int32)
        width = jnp.zeros((2, transformer.width))
        return _join(
            {
                "image": init_image(key),
                "text": transformer.init(named_key(key, "text"), ids, ids == 0, train=False),
                "text_head": head.init(named_key(key, "text_head"), width, train=False),
            }
        )

    return Model(jax.jit(init), image, text)


def _apply(
    module: Any, name: str, params: Any, variables: Any, x: jax.Array, *, train: bool
) -> tuple[Any, Any]:
    """Runs the module on its own branch of the trees; training moves its batch statistics."""
    stats = variables["batch_stats"]
    branch = {"params": params[name], "batch_stats": stats[name]}
    if not train:
        return module.apply(branch, x, train=False), variables
    out, moved = module.apply(branch, x, train=True, mutable=["batch_stats"])
    return out, {**variables, "batch_stats": {**stats, name: moved["batch_stats"]}}


def _join(modules: dict[str, Any]) -> tuple[Any, Any]:
    params = {name: tree["params"] for name, tree in modules.items()}
    stats = {name: tree["batch_stats"] for name, tree in modules.items() if "batch_stats" in tree}
    return params, {"batch_stats": stats}
