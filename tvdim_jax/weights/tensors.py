"""The tensors of a local folder: one `model.safetensors`, or several with an index."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

import ml_dtypes  # noqa: F401 - without it NumPy does not know bfloat16
import numpy as np
import safetensors

_SINGLE = "model.safetensors"
_INDEX = "model.safetensors.index.json"
_CONVERT = (
    'python -c "import torch, safetensors.torch as s; '
    "t = torch.load('pytorch_model.bin', map_location='cpu', weights_only=True); "
    "s.save_file({k: v.clone().contiguous() for k, v in t.items()}, 'model.safetensors')\""
)


class _Tensors(Mapping[str, np.ndarray]):
    """Name -> array, read from its file when asked for."""

    def __init__(self, files: Mapping[str, Path]) -> None:
        self._files = files

    def __getitem__(self, name: str) -> np.ndarray:
        with safetensors.safe_open(self._files[name], framework="numpy") as file:
            tensor: np.ndarray = file.get_tensor(name)
            return tensor

    def __iter__(self) -> Iterator[str]:
        return iter(self._files)

    def __len__(self) -> int:
        return len(self._files)


def open_tensors(folder: str | Path) -> Mapping[str, np.ndarray]:
    """The tensors of a folder as Hugging Face writes it, by their names.

    Args:
      folder: holds `model.safetensors`, or `model.safetensors.index.json` and the files it names.

    Returns:
      Name -> array in the type of the file; an array is read when it is asked for.

    Raises:
      ValueError: no such folder or file, a pickle (which could run any code when read), a damaged
        file, an index that names files outside the folder or tensors that they do not hold.
    """
    folder = Path(folder)
    if (folder / _SINGLE).is_file():
        return _Tensors(dict.fromkeys(_names(folder / _SINGLE), folder / _SINGLE))
    if (folder / _INDEX).is_file():
        return _Tensors(_indexed(folder))
    raise ValueError(f"weights: got {str(folder)!r} without {_SINGLE}; {_next_step(folder)}")


def _next_step(folder: Path) -> str:
    if list(folder.glob("*.bin")):
        return (
            "its .bin file is a pickle, which may run any code when read, and is not read here; "
            f"convert it in that folder, where torch is installed: {_CONVERT}"
        )
    return f"wanted a folder with {_SINGLE} or {_INDEX}; give the folder of a downloaded model"


def _names(file: Path) -> list[str]:
    try:
        with safetensors.safe_open(file, framework="numpy") as opened:
            return list(opened.keys())
    except (OSError, safetensors.SafetensorError) as error:
        raise ValueError(
            f"weights: got {str(file)!r} ({error}); wanted a whole safetensors file; download it "
            "again (a file of a few lines of text is a Git LFS pointer, not the weights)"
        ) from error


def _indexed(folder: Path) -> dict[str, Path]:
    """Name -> file, from the index; every name is looked up in the file that should hold it."""
    path = folder / _INDEX
    try:
        shards = dict(json.loads(path.read_text(encoding="utf-8"))["weight_map"])
        outside = [shard for shard in shards.values() if Path(shard).name != shard]
    except (OSError, ValueError, LookupError, TypeError, RecursionError) as error:
        raise ValueError(
            f"weights: got {str(path)!r} ({type(error).__name__} {error}); wanted JSON with a "
            "weight_map from tensor to file; download it again"
        ) from error
    if outside:
        raise ValueError(
            f"weights: {str(path)!r} names the file {outside[0]!r}; wanted files of the same "
            "folder; do not use this index"
        )
    held = {shard: set(_names(folder / shard)) for shard in sorted(set(shards.values()))}
    missing = [name for name, shard in shards.items() if name not in held[shard]]
    if missing:
        raise ValueError(
            f"weights: {str(path)!r} names {len(missing)} tensors such as {missing[0]!r}, which "
            f"{shards[missing[0]]} does not hold; wanted an index of these files; download both"
        )
    return {name: folder / shard for name, shard in shards.items()}
