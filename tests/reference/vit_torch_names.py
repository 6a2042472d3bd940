"""Names and layouts of timm's ViT and open_clip's image tower -> our tree. For tests only."""

import flax.traverse_util
import numpy as np

# Words of both libraries for the modules that have a kernel, or a scale, and a bias.
_MODULES = {
    "patch_embed.proj": "patches",
    "conv1": "patches",
    "ln_pre": "norm_before",
    "norm": "norm",
    "ln_post": "norm",
    "norm1": "norm_1",
    "ln_1": "norm_1",
    "norm2": "norm_2",
    "ln_2": "norm_2",
    "mlp.fc1": "dense_1",
    "mlp.c_fc": "dense_1",
    "mlp.fc2": "dense_2",
    "mlp.c_proj": "dense_2",
}
_WHOLE = {
    "cls_token": ("class_token",),
    "class_embedding": ("class_token",),
    "pos_embed": ("positions",),
    "positional_embedding": ("positions",),
    "proj": ("projection", "kernel"),
}


def our_params(arrays: dict[str, np.ndarray], num_heads: int) -> dict:
    """`{torch name: array}` -> our parameters."""
    flat = {}
    for name, array in arrays.items():
        flat.update(_leaves(name.replace("in_proj_", "in_proj."), array, num_heads))
    return flax.traverse_util.unflatten_dict(flat)


def _leaves(name: str, array: np.ndarray, num_heads: int) -> dict[tuple[str, ...], np.ndarray]:
    if name in _WHOLE:
        path = _WHOLE[name]
        width = array.shape[-1]
        shapes = {"class_token": (1, 1, width), "positions": (-1, width)}
        return {path: array.reshape(shapes.get(path[0], array.shape))}
    *words, leaf = name.removeprefix("transformer.").split(".")
    block = ()
    if words[0] in ("blocks", "resblocks"):
        block, words = (f"block_{words[1]}",), words[2:]
    if words[0] == "attn":
        return _attention((*block, "attention"), words[1], leaf, array, num_heads)
    path = (*block, _MODULES[".".join(words)])
    if leaf == "bias":
        return {(*path, "bias"): array}
    if array.ndim == 1:
        return {(*path, "scale"): array}
    return {(*path, "kernel"): array.transpose(2, 3, 1, 0) if array.ndim == 4 else array.T}


def _attention(path, word, leaf, array, num_heads):
    """Query, key and value are one matrix `[3 D, D]` in torch and three `[D, heads, d]` here."""
    width = array.shape[-1]
    if word in ("proj", "out_proj"):
        if leaf == "bias":
            return {(*path, "out", "bias"): array}
        return {(*path, "out", "kernel"): array.T.reshape(num_heads, -1, width)}
    leaves = {}
    for third, rows in zip(("query", "key", "value"), np.split(array, 3), strict=True):
        if leaf == "bias":
            leaves[(*path, third, "bias")] = rows.reshape(num_heads, -1)
        else:
            leaves[(*path, third, "kernel")] = rows.T.reshape(width, num_heads, -1)
    return leaves
