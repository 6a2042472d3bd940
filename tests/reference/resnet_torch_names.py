"""Names and layouts of torchvision's and the LMI release's ResNet -> our tree. For tests only."""

import flax.traverse_util
import numpy as np

_LEAVES = {
    "weight": ("params", "scale"),
    "bias": ("params", "bias"),
    "running_mean": ("batch_stats", "mean"),
    "running_var": ("batch_stats", "var"),
}


def our_tree(arrays: dict[str, np.ndarray]) -> dict:
    """`{torch name: array}` -> {"params": ..., "batch_stats": ...} as in our residual nets."""
    return flax.traverse_util.unflatten_dict(
        {
            our_path(name): array.transpose(2, 3, 1, 0) if array.ndim == 4 else array
            for name, array in arrays.items()
        }
    )


def our_path(name: str) -> tuple[str, ...]:
    """`layer2.0.bn1.weight` -> `("params", "stage_2_block_1", "conv_1", "batch_norm", "scale")`."""
    *module, leaf = name.split(".")
    if module[-1].startswith("conv") or module[-2:] == ["downsample", "0"]:
        collection, *inside = "params", "conv", "kernel"
    else:
        collection, last = _LEAVES[leaf]
        inside = ["batch_norm", last]
    if len(module) == 1:
        return (collection, "stem", *inside)
    block = f"stage_{module[0].removeprefix('layer')}_block_{int(module[1]) + 1}"
    layer = "shortcut" if module[2] == "downsample" else f"conv_{module[2][-1]}"
    return (collection, block, layer, *inside)
