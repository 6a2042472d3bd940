"""What CLIP, SRCL, VQA and NLVR2 have beside the two encoders: projections, fusions, heads."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from ml_collections import ConfigDict

from tvdim_jax.config import (
    uses_answers,
    uses_embeddings,
    uses_fusion,
    uses_image_pairs,
    uses_pair_fusion,
)
from tvdim_jax.features import Features
from tvdim_jax.models.heads import LinearHead
from tvdim_jax.models.text import PairHead, WordPredictor
from tvdim_jax.models.variants import make_answer_decoder, make_fusion_encoder, make_pair_fusion
from tvdim_jax.prng import named_key

Nets = Mapping[str, nn.Module]


_DROPS = ("fusion", "decoder", "pair_fusion")  # nets with dropout in training


def make_pair_nets(config: ConfigDict, vocab_size: int) -> Nets:
    """The modules by the names of their branches of params; of CLIP the projections alone.

    Args:
      config: of the run.
      vocab_size: word pieces.

    Raises:
      ValueError: an unknown name.
    """
    model = config.model
    dtype, dropout = jnp.dtype(model.dtype), model.dropout
    nets: dict[str, nn.Module] = {}
    if uses_embeddings(config):
        nets["image_projection"] = LinearHead(model.embedding_width)
        nets["text_projection"] = LinearHead(model.embedding_width)
    if uses_fusion(config) or uses_answers(config):
        nets["fusion"] = make_fusion_encoder(model.fusion, dropout=dropout, dtype=dtype)
    if uses_fusion(config):
        nets["matching_head"] = LinearHead(2)
        nets["word_predictor"] = WordPredictor(dtype=dtype)
    if uses_answers(config):
        length = config.tokenizer.max_length
        nets["decoder"] = make_answer_decoder(
            model.decoder, vocab_size=vocab_size, max_length=length, dropout=dropout, dtype=dtype
        )
    if uses_pair_fusion(config):
        nets["pair_fusion"] = make_pair_fusion(model.pair_fusion, dropout=dropout, dtype=dtype)
        of_two = uses_image_pairs(config)
        nets |= (
            {"pair_head": PairHead(dtype=dtype)} if of_two else {"assignment_head": LinearHead(3)}
        )
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
    """Fresh parameters of the nets, and a learned temperature where it starts.

    Args:
      config: of the run.
      nets: from `make_pair_nets`.
      key: typed PRNG key.
      image_width: of the image encoder's features.
      text_width: of the text encoder's.
      vocab_size: word pieces.
    """
    image, text, valid = jnp.zeros((1, image_width)), jnp.zeros((1, text_width)), jnp.ones(1, bool)
    words, all_valid = jnp.zeros((1, 1), jnp.int32), valid[None]
    inputs: dict[str, tuple[jax.Array, ...]] = {
        "image_projection": (image,),
        "text_projection": (text,),
        "fusion": (text[None], all_valid, image[None], all_valid),
        "matching_head": (text,),
        "decoder": (words, all_valid, text[None], all_valid),
        "pair_fusion": (
            text[None],
            all_valid,
            jnp.stack([image[None]] * 2, 1),
            jnp.ones((1, 2, 1)),
        ),
        "pair_head": (text,),
        "assignment_head": (text,),
        "word_predictor": (text[None], jnp.zeros((vocab_size, text_width))),
    }
    params: dict[str, Any] = {}
    if uses_embeddings(config):
        params["temperature"] = jnp.float32(config.objective.temperature)
    for name, net in nets.items():
        options: dict[str, Any] = {"train": False} if name in _DROPS else {}
        params[name] = net.init(named_key(key, name), *inputs[name], **options)["params"]
    return params


def pair_functions(nets: Nets) -> dict[str, Callable[..., Any]]:
    """What objectives call beside the encoders, for the nets that there are.

    See `embeddings`, `fused`, `answers` and `image_pairs` in `tvdim_jax.objectives`.
    """

    def run(name: str, params: Any, *inputs: Any, **options: Any) -> Any:
        return nets[name].apply({"params": params[name]}, *inputs, **options)

    def drop(name: str, params: Any, *inputs: Any, train: bool, key: jax.Array | None) -> Any:
        rngs: dict[str, Any] = {"dropout": key} if train else {}
        return run(name, params, *inputs, train=train, rngs=rngs)

    def fuse(
        name: str,
        params: Any,
        tokens: jax.Array,
        token_valid: jax.Array,
        images: jax.Array,
        *,
        train: bool,
        key: jax.Array | None,
    ) -> Features:
        everything = jnp.ones(images.shape[:-1], bool)
        fused: Features = drop(
            name, params, tokens, token_valid, images, everything, train=train, key=key
        )
        return fused

    def words(params: Any, x: jax.Array) -> jax.Array:
        logits: jax.Array = run("word_predictor", params, x, params["text"]["tokens"]["embedding"])
        return logits

    functions: dict[str, tuple[str, Callable[..., Any]]] = {
        "project_image": ("image_projection", partial(run, "image_projection")),
        "project_text": ("text_projection", partial(run, "text_projection")),
        "fusion": ("fusion", partial(fuse, "fusion")),
        "matching": ("matching_head", partial(run, "matching_head")),
        "words": ("word_predictor", words),
        "decode": ("decoder", partial(drop, "decoder")),
        "pair_fusion": ("pair_fusion", partial(fuse, "pair_fusion")),
        "pair_head": ("pair_head", partial(run, "pair_head")),
        "assignment_head": ("assignment_head", partial(run, "assignment_head")),
    }
    return {name: function for name, (net, function) in functions.items() if net in nets}
