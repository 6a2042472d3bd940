"""What CLIP and SRCL have beside the two encoders: projections, fusion, heads, a temperature."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from ml_collections import ConfigDict

from tvdim_jax.config import uses_fusion
from tvdim_jax.features import Features
from tvdim_jax.models.heads import LinearHead
from tvdim_jax.models.text import WordPredictor
from tvdim_jax.models.variants import make_fusion_encoder
from tvdim_jax.prng import named_key

Nets = Mapping[str, nn.Module]


def make_pair_nets(config: ConfigDict) -> Nets:
    """The modules by the names of their branches of params; of CLIP the projections alone.

    Raises:
      ValueError: an unknown name.
    """
    width, dtype = config.model.embedding_width, jnp.dtype(config.model.dtype)
    nets: dict[str, nn.Module] = {
        "image_projection": LinearHead(width),
        "text_projection": LinearHead(width),
    }
    if uses_fusion(config):
        nets["fusion"] = make_fusion_encoder(config.model.fusion, dtype=dtype)
        nets["matching_head"] = LinearHead(2)
        nets["word_predictor"] = WordPredictor(dtype=dtype)
    return nets


def init_pair_nets(
    config: ConfigDict,
    nets: Nets,
    key: jax.Array,
    *,
    image_width: int,
    text_width: int,
    vocab_size: int,
) -> dict[str, Any]:
    """Fresh parameters of the nets, and the learned temperature where it starts.

    Args:
      config: of the run.
      nets: from `make_pair_nets`.
      key: typed PRNG key.
      image_width: of the image encoder's features.
      text_width: of the text encoder's.
      vocab_size: word pieces.
    """
    image, text, valid = jnp.zeros((1, image_width)), jnp.zeros((1, text_width)), jnp.ones(1, bool)
    inputs: dict[str, tuple[jax.Array, ...]] = {
        "image_projection": (image,),
        "text_projection": (text,),
        "fusion": (text[None], valid[None], image[None], valid[None]),
        "matching_head": (text,),
        "word_predictor": (text[None], jnp.zeros((vocab_size, text_width))),
    }
    params: dict[str, Any] = {"temperature": jnp.float32(config.objective.temperature)}
    for name, net in nets.items():
        options: dict[str, Any] = {"train": False} if name == "fusion" else {}
        params[name] = net.init(named_key(key, name), *inputs[name], **options)["params"]
    return params


def pair_functions(nets: Nets) -> dict[str, Callable[..., Any]]:
    """What objectives call beside the encoders.

    See `tvdim_jax.objectives.embeddings`, and with a fusion `tvdim_jax.objectives.fused`.
    """

    def run(name: str, params: Any, *inputs: Any, **options: Any) -> Any:
        return nets[name].apply({"params": params[name]}, *inputs, **options)

    def fusion(
        params: Any,
        tokens: jax.Array,
        token_valid: jax.Array,
        images: jax.Array,
        *,
        train: bool,
        key: jax.Array | None,
    ) -> Features:
        rngs: dict[str, Any] = {"dropout": key} if train else {}
        everything = jnp.ones(images.shape[:2], bool)
        fused: Features = run(
            "fusion", params, tokens, token_valid, images, everything, train=train, rngs=rngs
        )
        return fused

    functions: dict[str, Callable[..., Any]] = {
        "project_image": lambda params, x: run("image_projection", params, x),
        "project_text": lambda params, x: run("text_projection", params, x),
    }
    if "fusion" not in nets:
        return functions
    return functions | {
        "fusion": fusion,
        "matching": lambda params, x: run("matching_head", params, x),
        "words": lambda params, x: run(
            "word_predictor", params, x, params["text"]["tokens"]["embedding"]
        ),
    }
