"""From config names to pure encoder functions."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict

from tvdim_jax.config import reads_grey, uses_pair_nets, uses_sentences, uses_text
from tvdim_jax.critics import make_pair_critic
from tvdim_jax.experiment.pair_nets import init_pair_nets, make_pair_nets, pair_functions
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
      text: `text(params, variables, token_ids [B, T], token_valid [B, T], *, train, key)`; the
        global features of TVDIM have the width of the image's. None where the run has no text.
      project_image: of CLIP and SRCL, global features `[B, D]` to where images and texts meet:
        `project_image(params, vectors) -> [B, E]`.
      project_text: the same of texts.
      fusion: of SRCL and VQA, see `tvdim_jax.objectives.fused`; of SRCL likewise
        matching and words.
      matching: texts that have seen an image, to logits of two classes.
      words: the same, word by word, to logits of the vocabulary.
      decode: of VQA, see `tvdim_jax.objectives.answers`.
      pair_fusion: of NLVR2 and the step before it, see `tvdim_jax.objectives.image_pairs`; likewise
        pair_head of the one and assignment_head of the other.
      teacher: of CLIP and SRCL with a teacher, see `tvdim_jax.experiment.teacher.with_teacher`.
    """

    init: Callable[[jax.Array], tuple[Any, Any]]
    image: Encode
    text: Encode | None
    project_image: Callable[..., jax.Array] | None = None
    project_text: Callable[..., jax.Array] | None = None
    fusion: Callable[..., Features] | None = None
    matching: Callable[..., jax.Array] | None = None
    words: Callable[..., jax.Array] | None = None
    decode: Callable[..., jax.Array] | None = None
    pair_fusion: Callable[..., Features] | None = None
    pair_head: Callable[..., jax.Array] | None = None
    assignment_head: Callable[..., jax.Array] | None = None
    teacher: Callable[..., tuple[jax.Array, jax.Array]] | None = None


def make_model(config: ConfigDict, vocab_size: int) -> Model:
    """The encoders that the config names, with what else the objective trains.

    Args:
      config: of the run.
      vocab_size: word pieces of the tokenizer; unused without text.

    Raises:
      ValueError: names or sizes that do not fit together; most of them when traced.
    """
    dtype = jnp.dtype(config.model.dtype)
    size = config.model.image_size
    encoder = make_image_encoder(config.model.image, image_size=size, dtype=dtype)

    def image(
        params: Any, variables: Any, images: jax.Array, *, train: bool, key: jax.Array | None
    ) -> tuple[Features, Any]:
        del key  # the image encoders draw nothing
        return _apply(encoder, "image", params, variables, images, train=train)

    def init_image(key: jax.Array) -> Any:
        images = jnp.zeros((2, size, size, encoder.num_channels))
        return encoder.init(named_key(key, "image"), images, train=False)

    if not uses_text(config):
        return Model(jax.jit(lambda key: _join({"image": init_image(key)})), image, None)

    transformer = make_text_encoder(
        config.model.text,
        vocab_size=vocab_size,
        max_length=config.tokenizer.max_length,
        dropout=config.model.dropout,
        dtype=dtype,
    )
    has_head = not (uses_sentences(config) or uses_pair_nets(config))
    head = ResidualHead(encoder.num_features, dtype=dtype) if has_head else None
    nets = make_pair_nets(config, vocab_size) if uses_pair_nets(config) else {}

    def init(key: jax.Array) -> tuple[Any, Any]:
        ids = jnp.zeros((2, config.tokenizer.max_length), jnp.int32)
        modules = {
            "image": init_image(key),
            "text": transformer.init(named_key(key, "text"), ids, ids == 0, train=False),
        }
        if nets:
            params, variables = _join(modules)
            more = init_pair_nets(
                config,
                nets,
                key,
                image_width=encoder.num_features,
                text_width=transformer.num_features,
                vocab_size=vocab_size,
            )
            return {**params, **more}, variables
        if head is None:
            critics = _init_critics(config, image, _join(modules), key, transformer.num_features)
            return _join({**modules, "critics": {"params": critics}})
        width = jnp.zeros((2, transformer.num_features))
        text_head = head.init(named_key(key, "text_head"), width, train=False)
        return _join({**modules, "text_head": text_head})

    functions = pair_functions(nets) if nets else {}
    return Model(jax.jit(init), image, _text_with(transformer, head), **functions)


def _text_with(transformer: Any, head: ResidualHead | None) -> Encode:
    """The text encoder, its global features through the head where there is one."""

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
        features: Features = transformer.apply(
            {"params": params["text"]}, token_ids, token_valid, train=train, rngs=rngs
        )
        if head is None:
            return features, variables
        vector, variables = _apply(
            head, "text_head", params, variables, features.global_features, train=train
        )
        return features._replace(global_features=vector), variables

    return text


def _init_critics(
    config: ConfigDict, image: Encode, trees: tuple[Any, Any], key: jax.Array, text_width: int
) -> dict[str, Any]:
    """Parameters of LMI's critics, of the widths of the features that they meet."""
    critic = make_pair_critic(config.model.critic, config.model.critic_hidden)
    size = config.model.image_size
    channels = 1 if reads_grey(config) else 3
    images = jax.ShapeDtypeStruct((2, size, size, channels), jnp.float32)
    shapes, _ = jax.eval_shape(partial(image, *trees, train=False, key=None), images)
    local = shapes.local_features.get(config.objective.region_map, shapes.global_features)
    return {
        name: critic.init(named_key(key, f"critic_{name}"), features.shape[-1], text_width)
        for name, features in (("local", local), ("global", shapes.global_features))
    }


def _apply(
    module: Any, name: str, params: Any, variables: Any, x: jax.Array, *, train: bool
) -> tuple[Any, Any]:
    """Runs the module on its own branch of the trees; training moves its batch statistics."""
    stats = variables["batch_stats"]
    if name not in stats:
        return module.apply({"params": params[name]}, x, train=train), variables
    branch = {"params": params[name], "batch_stats": stats[name]}
    if not train:
        return module.apply(branch, x, train=False), variables
    out, moved = module.apply(branch, x, train=True, mutable=["batch_stats"])
    return out, {**variables, "batch_stats": {**stats, name: moved["batch_stats"]}}


def _join(modules: dict[str, Any]) -> tuple[Any, Any]:
    params = {name: tree["params"] for name, tree in modules.items()}
    stats = {name: tree["batch_stats"] for name, tree in modules.items() if "batch_stats" in tree}
    return params, {"batch_stats": stats}
