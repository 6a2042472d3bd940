"""Names and layouts of the AMDIM release (torch state dict) -> our tree. For tests only."""

from collections.abc import Iterable

import flax.traverse_util
import numpy as np

# Modules in the order of the release's trunk list, per image size.
_TRUNK = {
    32: ["stem", "unit_0", "block_0", "block_1"],
    64: ["stem", "block_0", "block_1", "block_2"],
    128: ["stem", "stem_2", "block_0", "block_1", "block_2"],
}
_TOP = ["batch_norm_7", "block_to_5", "block_to_3", "unit_to_1", "batch_norm_1"]
_IN_UNIT = {"conv1": "conv", "conv2": "dense", "bn1": "batch_norm", "conv": "conv"}
_IN_HEAD = {
    "conv1": "dense_1",
    "conv2": "dense_2",
    "shortcut": "shortcut",
    "bn_hid": "batch_norm_hidden",
    "bn_out": "batch_norm",
}
_LEAVES = {
    "weight": ("params", "kernel"),
    "bias": ("params", "bias"),
    "running_mean": ("batch_stats", "mean"),
    "running_var": ("batch_stats", "var"),
}


def our_tree(arrays: dict[str, np.ndarray], prefix: str, image_size: int) -> dict:
    """`{prefix + torch name: array}` -> {"params": ..., "batch_stats": ...} as in AMDIMEncoder."""
    names = [name.removeprefix(prefix) for name in arrays if name.startswith(prefix)]
    flat = {_path(name, image_size): _layout(arrays[prefix + name]) for name in names}
    return flax.traverse_util.unflatten_dict(flat)


def trunk_modules(image_size: int, depth: int) -> Iterable[str]:
    """The module of ours whose output is the activation after each layer of the trunk list."""
    for name in [*_TRUNK[image_size], *_TOP]:
        yield f"{name}_unit_{depth - 1}" if name.startswith("block") else name


def _layout(array: np.ndarray) -> np.ndarray:
    """OIHW -> HWIO; a 1x1 kernel -> a matrix [I, O]."""
    if array.ndim != 4:
        return array
    kernel = array.transpose(2, 3, 1, 0)
    return kernel[0, 0] if kernel.shape[:2] == (1, 1) else kernel


def _path(name: str, image_size: int) -> tuple[str, ...]:
    words = [word for word in name.split(".") if word != "bn"]
    collection, leaf = _LEAVES[words.pop()]
    if words[0] == "layer_list":
        module = [*_TRUNK[image_size], *_TOP][int(words[1])]
        if module.startswith("block"):
            module = f"{module}_unit_{words[3]}"
        inside = [_IN_UNIT[words[-1]]] if "batch_norm" not in module else []
    else:
        module = words[0].replace("rkhs_block", "head")
        inside = [_IN_HEAD[words[1]]]
    is_norm = "batch_norm" in (inside[-1] if inside else module)
    if is_norm and leaf == "kernel":
        leaf = "scale"
    return (collection, module, *inside, leaf)
