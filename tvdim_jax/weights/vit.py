"""Vision transformers as Hugging Face names them -> the trees of ViT and CLIPViT.

Two families: CLIP's image tower (`CLIPModel`, `CLIPVisionModel`) and the plain ViT that DeiT is
published as (`ViTModel`). Theirs are matrices `[out, in]`; ours `[in, out]`, those of attention
with their heads, patches `[p, p, 3, out]`.
"""

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict

from tvdim_jax.weights.report import LoadReport
from tvdim_jax.weights.tensors import open_tensors

_ATTENTION = ("query", "key", "value")


class _Family(NamedTuple):
    """Their names: of our whole arrays, of our modules, and of those in block "{}"."""

    arrays: Mapping[str, str]
    modules: Mapping[str, str]
    block: str


_CLIP = _Family(
    arrays={
        "class_token": "vision_model.embeddings.class_embedding",
        "positions": "vision_model.embeddings.position_embedding.weight",
    },
    modules={
        "patches": "vision_model.embeddings.patch_embedding",
        "norm_before": "vision_model.pre_layrnorm",
        "norm": "vision_model.post_layernorm",
        "projection": "visual_projection",
        **{f"attention/{name}": f"self_attn.{name[0]}_proj" for name in _ATTENTION},
        "attention/out": "self_attn.out_proj",
        "norm_1": "layer_norm1",
        "norm_2": "layer_norm2",
        "dense_1": "mlp.fc1",
        "dense_2": "mlp.fc2",
    },
    block="vision_model.encoder.layers.{}.",
)
_PLAIN = _Family(
    arrays={
        "class_token": "embeddings.cls_token",
        "positions": "embeddings.position_embeddings",
    },
    modules={
        "patches": "embeddings.patch_embeddings.projection",
        "norm": "layernorm",
        **{f"attention/{name}": f"attention.attention.{name}" for name in _ATTENTION},
        "attention/out": "attention.output.dense",
        "norm_1": "layernorm_before",
        "norm_2": "layernorm_after",
        "dense_1": "intermediate.dense",
        "dense_2": "output.dense",
    },
    block="encoder.layer.{}.",
)


def load_vit(
    folder: str | Path,
    params: Mapping[str, Any],
    *,
    resize_positions: Callable[[Any, int], Any],
) -> tuple[dict[str, Any], LoadReport]:
    """Puts the weights of a local Hugging Face folder into the parameters of a fresh ViT.

    Args:
      folder: holds `model.safetensors`, or its parts and their index.
      params: see fill_vit.
      resize_positions: see fill_vit.

    Raises:
      ValueError: see open_tensors and fill_vit.
    """
    return fill_vit(open_tensors(folder), params, resize_positions=resize_positions)


def fill_vit(
    tensors: Mapping[str, np.ndarray],
    params: Mapping[str, Any],
    *,
    resize_positions: Callable[[Any, int], Any],
) -> tuple[dict[str, Any], LoadReport]:
    """Replaces every array of `params` by that of a ViT.

    Args:
      tensors: their name -> array; of CLIP its image tower is read.
      params: parameters of a ViT or CLIPViT as initialised, of the same family.
      resize_positions: (positions `[1 + h h, D]`, h') -> `[1 + h' h', D]`, for a ViT of another
        image size.

    Returns:
      A tree like `params`, float32, and the report.

    Raises:
      ValueError: a missing array, or one of another shape.
    """
    family = _CLIP if _CLIP.arrays["class_token"] in tensors else _PLAIN
    names = {name.removeprefix("vit."): name for name in tensors}
    flat = flatten_dict(dict(params), sep="/")
    loaded: dict[str, np.ndarray] = {}
    remarks: list[str] = []
    for path, fresh in flat.items():
        theirs = _their_name(family, path)
        if theirs not in names:
            raise ValueError(
                f"weights: the file holds {len(names)} tensors but not {theirs!r} for our {path}; "
                "wanted a ViT of the same family and depth: CLIP's for clip_vit_*, DeiT's for vit_*"
            )
        array = np.asarray(tensors[names[theirs]]).astype(np.float32)
        if path == "positions":
            array = array.reshape(-1, array.shape[-1])
            if array.shape != fresh.shape and array.shape[1] == fresh.shape[1]:
                remarks.append(f"positions: {len(array)} resized to {len(fresh)}")
                array = np.asarray(resize_positions(array, round((len(fresh) - 1) ** 0.5)))
        loaded[path] = _fit(path, theirs, array, fresh.shape)
    used = {names[_their_name(family, path)] for path in flat}
    unused = {name: "no part of ours" for name in tensors if name not in used}
    sizes = {path: array.size for path, array in loaded.items()}
    tree: dict[str, Any] = unflatten_dict(loaded, sep="/")
    return tree, LoadReport(sizes, {}, unused, tuple(remarks))


def _their_name(family: _Family, path: str) -> str:
    if path in family.arrays:
        return family.arrays[path]
    block = re.match(r"block_(\d+)/", path)
    module, _, leaf = path.removeprefix(block[0] if block else "").rpartition("/")
    prefix = family.block.format(block[1]) if block else ""
    name = family.modules.get(module, f"({module} of another family)")
    return f"{prefix}{name}.{'bias' if leaf == 'bias' else 'weight'}"


def _fit(path: str, name: str, array: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """The array in our layout."""
    if array.ndim == 4:
        array = array.transpose(2, 3, 1, 0)
    elif path.endswith("/kernel"):
        array = array.T
    regrouped = "attention" in path or path == "class_token"  # heads are an axis of ours
    if array.size != np.prod(shape) or not (regrouped or array.shape == shape):
        raise ValueError(
            f"weights: {name} has the shape {array.shape} in our layout; wanted {shape} for "
            f"{path}. Take the ViT of the same size."
        )
    return array.reshape(shape)
