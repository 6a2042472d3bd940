"""Linear encoders, projections, fusion and teacher for the objectives of pairs, and a batch."""

from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np

from tvdim_jax.features import Features

WIDTH, EMBEDDING, TEACHER_WIDTH, LENGTH, VOCABULARY, SIDE = 6, 4, 3, 5, 13, 2


def apply_image(params, variables, images, *, train, key):
    maps = images @ params["pixels"]
    return Features(jnp.mean(maps, axis=(1, 2)), {SIDE: maps}), variables


def apply_text(params, variables, token_ids, token_valid, *, train, key):
    tokens = params["tokens"][token_ids] * token_valid[:, :, None]
    return Features(jnp.mean(tokens, axis=1), {"tokens": tokens}), variables


def apply_fusion(params, tokens, token_valid, images, *, train, key):
    seen = jnp.tanh(tokens + jnp.mean(images, axis=1, keepdims=True) @ params["fusion"])
    return Features(jnp.sum(seen * token_valid[:, :, None], axis=1), {"tokens": seen})


def apply_teacher(variables, images, token_ids, token_valid):
    frozen = variables["teacher"]
    image, _ = apply_image(frozen, {}, images, train=False, key=None)
    text, _ = apply_text(frozen, {}, token_ids, token_valid, train=False, key=None)
    return (
        image.global_features @ frozen["projection"],
        text.global_features @ frozen["projection"],
    )


def make_apply(**changes):
    functions = {
        "image": apply_image,
        "text": apply_text,
        "fusion": apply_fusion,
        "teacher": apply_teacher,
        "project_image": lambda params, x: x @ params["image_projection"],
        "project_text": lambda params, x: x @ params["text_projection"],
        "matching": lambda params, x: x @ params["matching"],
        "words": lambda params, x: x @ params["tokens"].T,
    }
    return SimpleNamespace(**functions | changes)


def inputs(num=6, seed=2):
    """Params, variables with a teacher, and a batch without repetitions."""
    rng = np.random.default_rng(seed)
    params = {
        "pixels": rng.normal(size=(3, WIDTH)),
        "tokens": rng.normal(size=(VOCABULARY, WIDTH)),
        "fusion": rng.normal(size=(WIDTH, WIDTH)),
        "matching": rng.normal(size=(WIDTH, 2)),
        "image_projection": rng.normal(size=(WIDTH, EMBEDDING)),
        "text_projection": rng.normal(size=(WIDTH, EMBEDDING)),
        "temperature": np.asarray(0.3),
    }
    teacher = {name: rng.normal(size=params[name].shape) for name in ("pixels", "tokens")}
    teacher["projection"] = rng.normal(size=(WIDTH, TEACHER_WIDTH))
    batch = {
        "view": rng.normal(size=(num, SIDE, SIDE, 3)).astype(np.float32),
        "token_ids": rng.integers(2, VOCABULARY, (num, LENGTH)).astype(np.int32),
        "token_valid": np.arange(LENGTH) < rng.integers(2, LENGTH + 1, (num, 1)),
        "image_id": np.arange(num, dtype=np.int32),
        "text_id": np.arange(num, dtype=np.int32) + 100,
        "where": np.ones(num, bool),
    }
    to_jax = jax.tree_util.Partial(jnp.asarray, dtype=jnp.float32)
    return jax.tree.map(to_jax, params), {"teacher": jax.tree.map(to_jax, teacher)}, batch


def cosines(params, variables, batch):
    """Of images and texts [B, B], by the student and by the teacher, in float64."""
    apply, tokens = make_apply(), (batch["token_ids"], batch["token_valid"])
    image, _ = apply_image(params, {}, batch["view"], train=True, key=None)
    text, _ = apply_text(params, {}, *tokens, train=True, key=None)
    student = (
        apply.project_image(params, image.global_features),
        apply.project_text(params, text.global_features),
    )
    return [_cosine(*each) for each in (student, apply_teacher(variables, batch["view"], *tokens))]


def _cosine(x, y):
    x, y = (np.asarray(each, np.float64) for each in (x, y))
    x, y = (each / np.linalg.norm(each, axis=1, keepdims=True) for each in (x, y))
    return x @ y.T
