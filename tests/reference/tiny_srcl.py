"""The nets of SRCL at their smallest, as the `apply` of its objectives.

tests/data/srcl_step.npz holds one step of them by PyTorch 2.13 on a CPU, in float64: parameters
(draws N(0, 0.3), N(1, 0.3) for the scales of norms), an average of them, a batch, a queue, a
teacher's embeddings, hidden words, the terms, and the gradient of their sum by every parameter. The
hard negative of a row is the first that it may have. The nets there are torch's own:
`TransformerEncoderLayer` (pre-LN for the image, post-LN for the text) and, for the fusion,
`TransformerDecoderLayer` without a causal mask; the losses are written out by pairs.
"""

from pathlib import Path
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np

from tvdim_jax.models.heads import LinearHead
from tvdim_jax.models.image.vit import ViT
from tvdim_jax.models.text.bert import BertEncoder, BertFusion, WordPredictor

STEP = dict(np.load(Path(__file__).parents[1] / "data" / "srcl_step.npz", allow_pickle=False))
VOCABULARY, MASK_ID, LENGTH, SIDE = 23, 4, 6, 16


def nets(width=12, depth=2, heads=3, dropout=0.0, embedding=8):
    """The modules by the names of their branches of params."""
    text = {"num_heads": heads, "mlp_width": 2 * width, "dropout": dropout}
    return {
        "image": ViT(image_size=SIDE, patch_size=8, width=width, depth=depth, num_heads=heads),
        "text": BertEncoder(
            VOCABULARY, width=width, depth=depth, max_length=LENGTH, pooler=False, **text
        ),
        "fusion": BertFusion(depth=depth, **text),
        "image_projection": LinearHead(embedding),
        "text_projection": LinearHead(embedding),
        "matching_head": LinearHead(2),
        "word_predictor": WordPredictor(),
    }


def make_apply(modules):
    """The pure functions that objectives call, of parameters by the names of the modules."""

    def run(name, params, *inputs, **options):
        return modules[name].apply({"params": params[name]}, *inputs, **options)

    def image(params, variables, images, *, train, key):
        return run("image", params, images, train=train), variables

    def text(params, variables, token_ids, token_valid, *, train, key):
        rngs = {"dropout": key}
        return run("text", params, token_ids, token_valid, train=train, rngs=rngs), variables

    def fusion(params, tokens, token_valid, images, *, train, key):
        every = jnp.ones(images.shape[:2], bool)
        rngs = {"dropout": key}
        return run("fusion", params, tokens, token_valid, images, every, train=train, rngs=rngs)

    def words(params, tokens):
        return run("word_predictor", params, tokens, params["text"]["tokens"]["embedding"])

    def teacher(variables, images, token_ids, token_valid):
        frozen = variables["teacher"]
        seen, _ = image(frozen, {}, images, train=False, key=None)
        read = run("text", frozen, token_ids, token_valid, train=False)
        return (
            run("image_projection", frozen, seen.global_features),
            run("text_projection", frozen, read.global_features),
        )

    return SimpleNamespace(
        image=image,
        text=text,
        fusion=fusion,
        words=words,
        teacher=teacher,
        project_image=lambda params, x: run("image_projection", params, x),
        project_text=lambda params, x: run("text_projection", params, x),
        matching=lambda params, x: run("matching_head", params, x),
    )


def init(modules, key):
    """Fresh parameters, and a temperature of 0.07."""
    width = modules["image"].width
    ids, valid = jnp.zeros((1, LENGTH), jnp.int32), jnp.ones((1, LENGTH), bool)
    tokens, vector = jnp.zeros((1, LENGTH, width)), jnp.zeros((1, width))
    inputs = {
        "image": (jnp.zeros((1, SIDE, SIDE, 3)),),
        "text": (ids, valid),
        "fusion": (tokens, valid, tokens, valid),
        "word_predictor": (tokens, jnp.zeros((VOCABULARY, width))),
    }
    params = {"temperature": jnp.float32(0.07)}
    for number, (name, module) in enumerate(modules.items()):
        options = {"train": False} if name in ("image", "text", "fusion") else {}
        at = jax.random.fold_in(key, number)
        params[name] = module.init(at, *inputs.get(name, (vector,)), **options)["params"]
    return params


def random_batch(num, seed=0):
    """Images of noise, texts of 3 to 6 words; all different, all real."""
    rng = np.random.default_rng(seed)
    return {
        "view": rng.normal(size=(num, SIDE, SIDE, 3)).astype(np.float32),
        "token_ids": rng.integers(5, VOCABULARY, (num, LENGTH)).astype(np.int32),
        "token_valid": np.arange(LENGTH) < rng.integers(3, LENGTH + 1, (num, 1)),
        "image_id": np.arange(num, dtype=np.int32),
        "text_id": np.arange(num, dtype=np.int32) + 100,
        "where": np.ones(num, bool),
    }
