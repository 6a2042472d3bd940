"""The nets of VQA and NLVR2 at their smallest, and their words, for the generated sets."""

import jax
import numpy as np

from tests.reference.tiny_srcl import LENGTH, SIDE, VOCABULARY, make_apply, nets
from tvdim_jax.data.tokenizer import Tokenizer
from tvdim_jax.models.heads import LinearHead
from tvdim_jax.models.text.answer_decoder import AnswerDecoder, answer_decoder_params
from tvdim_jax.models.text.pair_fusion import PairFusion, PairHead, pair_fusion_params

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
QUESTION_WORDS = ["what", "color", "is", "it", "?", "red", "green", "blue", "white", "yes", "no",
                  "dark", "wall"]  # fmt: skip
SENTENCE_WORDS = ["the", "left", "image", "is", "red", "green", ".", "both", "images", "are"]
WIDTH, HEADS, DEPTH = 32, 4, 1


def tokenizer(words, **changes):
    options = {"lower_case": True, "add_sep": False, "max_length": LENGTH}
    return Tokenizer([*SPECIAL, *words], **options | changes)


def modules(dropout):
    """Those of tiny_srcl, and what the tasks add."""
    sizes = {"depth": DEPTH, "num_heads": HEADS, "mlp_width": 2 * WIDTH, "dropout": dropout}
    return nets(WIDTH, DEPTH, HEADS, dropout) | {
        "decoder": AnswerDecoder(VOCABULARY, width=WIDTH, max_length=LENGTH, **sizes),
        "pair_fusion": PairFusion(**sizes),
        "pair_head": PairHead(),
        "assignment_head": LinearHead(3),
    }


def apply_of(parts):
    apply = make_apply(parts)

    def decode(params, ids, valid, question, question_valid, *, train, key):
        inputs = ids, valid, question, question_valid
        decoder = parts["decoder"]
        return decoder.apply({"params": params["decoder"]}, *inputs, train=train,
                             rngs={"dropout": key} if train else None)  # fmt: skip

    def pair_fusion(params, tokens, valid, images, *, train, key):
        every = np.ones(images.shape[:3], bool)
        fusion = parts["pair_fusion"]
        return fusion.apply({"params": params["pair_fusion"]}, tokens, valid, images, every,
                            train=train, rngs={"dropout": key} if train else None)  # fmt: skip

    apply.decode, apply.pair_fusion = decode, pair_fusion
    for name in ("pair_head", "assignment_head"):
        head = parts[name]
        setattr(apply, name, lambda params, x, n=name, h=head: h.apply({"params": params[n]}, x))
    return apply


def first_params(parts, seed=0):
    """Drawn N(0, 0.1) without compiling; decoder and pair fusion start from the fusion."""
    ids, valid = np.zeros((1, LENGTH), np.int32), np.ones((1, LENGTH), bool)
    tokens, vector = np.zeros((1, LENGTH, WIDTH)), np.zeros((1, WIDTH))
    inputs = {
        "image": (np.zeros((1, SIDE, SIDE, 3)),),
        "text": (ids, valid),
        "fusion": (tokens, valid, tokens, valid),
        "word_predictor": (tokens, np.zeros((VOCABULARY, WIDTH))),
    }
    rng = np.random.default_rng(seed)

    def draw(path, leaf):
        kind = jax.tree_util.keystr(path[-1:])
        if "scale" in kind or "bias" in kind:
            return np.full(leaf.shape, "scale" in kind, np.float32)
        return rng.normal(0, 0.1, leaf.shape).astype(np.float32)

    params = {"temperature": np.float32(0.07)}
    for name in parts.keys() - {"decoder", "pair_fusion"}:
        module, options = parts[name], {}
        if name in ("image", "text", "fusion"):
            options = {"train": False}
        given = inputs.get(name, (vector,))
        shapes = jax.eval_shape(
            lambda key, m=module, g=given, o=options: m.init(key, *g, **o), jax.random.key(0)
        )
        params[name] = jax.tree_util.tree_map_with_path(draw, shapes["params"])
    parts_of = params["text"], params["fusion"], params["word_predictor"]
    params["decoder"] = answer_decoder_params(*parts_of)
    params["pair_fusion"] = pair_fusion_params(params["fusion"])
    return params


def pixels(images):
    """uint8 -> float32 in [-1, 1]."""
    return np.asarray(images, np.float32) / 127.5 - 1
