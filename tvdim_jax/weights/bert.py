"""BERT as Hugging Face names it -> the trees of BertEncoder, BertFusion and WordPredictor.

Theirs: `encoder.layer.3.attention.self.query.weight [out, in]`, one array per layer. Ours:
`layers/attention/query/kernel [depth, in, out]`, all layers in one array.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict

from tvdim_jax.weights.report import LoadReport
from tvdim_jax.weights.tensors import open_tensors

_LAYER = "encoder.layer.{}."
_ATTENTION = {
    **{name: f"self.{name}" for name in ("query", "key", "value")},
    "out": "output.dense",
}
_MODULES = {
    "norm": "embeddings.LayerNorm",
    "pooler": "pooler.dense",
    "word_predictor": "cls.predictions",
    "word_predictor/dense": "cls.predictions.transform.dense",
    "word_predictor/norm": "cls.predictions.transform.LayerNorm",
    "layers/dense_1": f"{_LAYER}intermediate.dense",
    "layers/dense_2": f"{_LAYER}output.dense",
    "layers/mlp_norm": f"{_LAYER}output.LayerNorm",
    **{
        f"layers/{ours}/{name}": f"{_LAYER}{theirs}.{part}"
        for ours, theirs in [("attention", "attention"), ("cross_attention", "crossattention")]
        for name, part in _ATTENTION.items()
    },
    "layers/attention_norm": f"{_LAYER}attention.output.LayerNorm",
    "layers/cross_attention_norm": f"{_LAYER}crossattention.output.LayerNorm",
}
_TABLES = {
    "tokens/embedding": "embeddings.word_embeddings.weight",
    "positions": "embeddings.position_embeddings.weight",
    "types": "embeddings.token_type_embeddings.weight",
}
# BERTs are published without these parts (ours: what names of theirs contain); anything else that
# is missing, or half a part, is an error.
_MAY_BE_NEW = {
    "pooler/": "pooler.",
    "word_predictor/": "cls.predictions.",
    "layers/cross_attention": ".crossattention.",
}
_DECODER = "cls.predictions.decoder"
_FLOATS = ("float16", "bfloat16", "float32", "float64")


def load_bert(
    folder: str | Path, params: Mapping[str, Any], *, first_layer: int = 0
) -> tuple[dict[str, Any], LoadReport]:
    """Puts the weights of a local Hugging Face folder into the parameters of a fresh module.

    Args:
      folder: holds `model.safetensors`, or its parts and their index.
      params: see fill_bert.
      first_layer: see fill_bert.

    Returns:
      See fill_bert.

    Raises:
      ValueError: see open_tensors and fill_bert.
    """
    return fill_bert(open_tensors(folder), params, first_layer=first_layer)


def fill_bert(
    tensors: Mapping[str, np.ndarray], params: Mapping[str, Any], *, first_layer: int = 0
) -> tuple[dict[str, Any], LoadReport]:
    """Replaces the arrays of `params` by those of a BERT, except where it has none.

    The pooler, the cross-attention and the word predictor may be missing and stay as they are. Of
    more positions than `params` has, the first are taken; with fewer it is an error.

    Args:
      tensors: their name -> array of any float type, with or without the prefix "bert.", the layer
        norms with weight and bias or gamma and beta.
      params: parameters of a BertEncoder or BertFusion as initialised, and under "word_predictor"
        those of a WordPredictor, or only these.
      first_layer: the layer of theirs that becomes our layer 0; as many follow as `params` has.

    Returns:
      A tree like `params`, float32, and the report.

    Raises:
      ValueError: an array of another shape, a missing one, a word predictor that is not tied to the
        word embeddings, or `params` of another module.
    """
    names = _plain_names(tensors)
    flat = flatten_dict(dict(params), sep="/")
    loaded: dict[str, np.ndarray] = {}
    new: dict[str, str] = {}
    used: set[str] = set()
    remarks: dict[str, None] = {}  # each once, in order
    for path, fresh in flat.items():
        wanted = _their_names(path, fresh, first_layer)
        if _is_new(path, names):
            new[path] = "not in the file"
            continue
        _check_present(path, wanted, names)
        arrays = [tensors[names[name]] for name in wanted]
        remarks |= dict.fromkeys(_remarks(path, arrays, fresh.shape))
        fitted = [_fit(path, *pair, fresh.shape) for pair in zip(wanted, arrays, strict=True)]
        loaded[path] = np.stack(fitted) if path.startswith("layers/") else fitted[0]
        used |= {names[name] for name in wanted}
    if "word_predictor" in params:
        _check_tied(tensors, names)
    sizes = {path: array.size for path, array in loaded.items()}
    unused = _unused(names, used, flat, first_layer)
    tree: dict[str, Any] = unflatten_dict({**flat, **loaded}, sep="/")
    return tree, LoadReport(sizes, new, unused, tuple(remarks))


def _plain_names(tensors: Mapping[str, np.ndarray]) -> dict[str, str]:
    """Name without prefix and in the newer spelling -> name in the file."""
    names: dict[str, str] = {}
    for name in tensors:
        plain = name.removeprefix("bert.")
        plain = plain.replace("LayerNorm.gamma", "LayerNorm.weight")
        plain = plain.replace("LayerNorm.beta", "LayerNorm.bias")
        if plain in names:
            raise ValueError(
                f"weights: the file holds both {names[plain]!r} and {name!r}, the same array by "
                "our reading; wanted one BERT; remove the other"
            )
        names[plain] = name
    if f"{_DECODER}.bias" in names:  # the same bias, saved a second time or only here
        names.setdefault("cls.predictions.bias", names[f"{_DECODER}.bias"])
    return names


def _their_names(path: str, fresh: Any, first_layer: int) -> list[str]:
    """Their names for one of our arrays: one per layer, or one."""
    module, _, leaf = path.rpartition("/")
    if path not in _TABLES and module not in _MODULES:
        raise ValueError(
            f"weights: params hold {path!r}, which no BERT has; wanted those of a BertEncoder or "
            "BertFusion, or of a WordPredictor under the key 'word_predictor'"
        )
    name = _TABLES.get(path) or f"{_MODULES[module]}.{'bias' if leaf == 'bias' else 'weight'}"
    if not path.startswith("layers/"):
        return [name]
    return [name.format(first_layer + i) for i in range(fresh.shape[0])]


def _is_new(path: str, names: Mapping[str, str]) -> bool:
    """Whether the file holds nothing of the part that our array belongs to, and may do so."""
    parts = [theirs for ours, theirs in _MAY_BE_NEW.items() if path.startswith(ours)]
    return any(not any(part in name for name in names) for part in parts)


def _check_present(path: str, wanted: list[str], names: Mapping[str, str]) -> None:
    missing = [name for name in wanted if name not in names]
    if missing:
        raise ValueError(
            f"weights: the file holds {len(names)} tensors but not {missing[0]!r} for our {path}; "
            "wanted a BERT with at least the layers asked for; check the folder, depth and "
            "first_layer"
        )


def _fit(path: str, name: str, array: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """The array in our layout and in float32, for a parameter of ours."""
    if array.dtype.name not in _FLOATS:
        raise ValueError(
            f"weights: {name} is stored as {array.dtype}; wanted one of {', '.join(_FLOATS)}. "
            "Take the model before it was quantised."
        )
    if path.endswith("/kernel"):
        array = array.T
    wanted = shape[1:] if path.startswith("layers/") else shape
    if path == "positions" and array.shape[1:] == wanted[1:]:
        if len(array) < wanted[0]:
            raise ValueError(
                f"weights: {name} holds {len(array)} positions; wanted at least max_length = "
                f"{wanted[0]}. Lower max_length: positions that were never trained are not added."
            )
        array = array[: wanted[0]]
    if array.shape != wanted:
        raise ValueError(
            f"weights: {name} has the shape {array.shape} in our layout; wanted {wanted} for "
            f"{path}. Build the module with the sizes that bert_options reads from the folder."
        )
    return array.astype(np.float32)


def _check_tied(tensors: Mapping[str, np.ndarray], names: Mapping[str, str]) -> None:
    decoder, words = names.get(f"{_DECODER}.weight"), names.get(_TABLES["tokens/embedding"])
    if decoder and words and not np.array_equal(tensors[decoder], tensors[words]):
        raise ValueError(
            f"weights: {decoder} differs from {words}; wanted a word predictor tied to the word "
            "embeddings, as BERT's; leave out the word predictor"
        )


def _remarks(path: str, arrays: list[np.ndarray], shape: tuple[int, ...]) -> list[str]:
    remarks = [
        f"stored as {array.dtype}, converted to float32"
        for array in arrays
        if array.dtype != np.float32
    ]
    if path == "positions" and len(arrays[0]) > shape[0]:
        remarks.append(f"positions: the first {shape[0]} of {len(arrays[0])}")
    return remarks


def _unused(
    names: Mapping[str, str], used: set[str], flat: Mapping[str, Any], first_layer: int
) -> dict[str, str]:
    """Name in the file -> why nothing of ours took it."""
    depths = {fresh.shape[0] for path, fresh in flat.items() if path.startswith("layers/")}
    end = first_layer + max(depths, default=0)
    known = (*_TABLES.values(), *(f"{name}." for name in _MODULES.values()))
    reasons = {}
    for plain, name in names.items():
        layer = re.match(r"encoder\.layer\.(\d+)\.", plain)
        any_layer = re.sub(r"(?<=^encoder\.layer\.)\d+", "{}", plain)
        if name in used:
            continue
        if plain.startswith(f"{_DECODER}."):
            reasons[name] = "a second copy of tied weights"
        elif layer and depths and not first_layer <= int(layer[1]) < end:
            reasons[name] = f"not among layers [{first_layer}, {end})"
        else:
            reasons[name] = "not asked for" if any_layer.startswith(known) else "no part of ours"
    return reasons
