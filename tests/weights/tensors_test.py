import json
import re
import subprocess
import sys

import ml_dtypes
import numpy as np
import pytest
from safetensors.numpy import save_file

from tvdim_jax.weights.tensors import open_tensors

ARRAYS = {
    "a": np.arange(6, dtype=np.float32).reshape(2, 3),
    "b": np.ones(2, ml_dtypes.bfloat16),
    "c": np.array([1.5], np.float16),
}


def shards(folder, **changes):
    """The arrays in two files with an index."""
    save_file({"a": ARRAYS["a"]}, folder / "model-1.safetensors")
    save_file({name: ARRAYS[name] for name in "bc"}, folder / "model-2.safetensors")
    files = {"a": "model-1.safetensors", **dict.fromkeys("bc", "model-2.safetensors")} | changes
    index = {"metadata": {"total_size": 30}, "weight_map": files}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


@pytest.mark.parametrize("write", ["one file", "shards"])
def test_arrays_come_back_in_their_types(tmp_path, write):
    if write == "shards":
        shards(tmp_path)
    else:
        save_file(ARRAYS, tmp_path / "model.safetensors")
    tensors = open_tensors(tmp_path)
    assert sorted(tensors) == sorted(ARRAYS)
    assert len(tensors) == 3
    for name, array in ARRAYS.items():
        assert tensors[name].dtype == array.dtype
        np.testing.assert_array_equal(tensors[name], array)


def test_torch_is_not_needed(tmp_path):
    save_file(ARRAYS, tmp_path / "model.safetensors")
    code = (
        "import sys\nfrom tvdim_jax.weights import tensors\n"
        f"print(tensors.open_tensors({str(tmp_path)!r})['b'].dtype)\n"
        "print('torch' in sys.modules)"
    )
    words = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    assert words == ["bfloat16", "False"]


def test_a_pickle_is_not_read_and_the_error_says_how_to_convert(tmp_path):
    (tmp_path / "pytorch_model.bin").write_bytes(b"\x80\x02.")
    with pytest.raises(ValueError, match=r"is a pickle.*convert it.*weights_only=True.*save_file"):
        open_tensors(tmp_path)


def test_folders_without_weights(tmp_path):
    wanted = "wanted a folder with model.safetensors or model.safetensors.index.json"
    for folder in (tmp_path, tmp_path / "none"):
        with pytest.raises(ValueError, match=wanted):
            open_tensors(folder)


def test_damaged_files(tmp_path):
    path = tmp_path / "model.safetensors"
    save_file(ARRAYS, path)
    whole = path.read_bytes()
    for content in (whole[:-2], whole[:20], b"", b"version https://git-lfs.github.com/spec/v1\n"):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"wanted a whole safetensors file.*Git LFS pointer"):
            open_tensors(tmp_path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"a": "../model-1.safetensors"}, "names the file '../model-1.safetensors'"),
        ({"a": "/etc/passwd"}, "names the file '/etc/passwd'; wanted files of the same folder"),
        ({"a": "model-2.safetensors"}, "'a', which model-2.safetensors does not hold"),
        ({"a": "model-3.safetensors"}, "model-3.safetensors"),
        ({"a": 3}, "wanted JSON with a weight_map"),
    ],
)
def test_indices_that_do_not_fit(tmp_path, changes, message):
    shards(tmp_path, **changes)
    with pytest.raises(ValueError, match=re.escape(message)):
        open_tensors(tmp_path)


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"weight_map": 1}', "[" * 100_000])
def test_indices_that_are_none(tmp_path, content):
    (tmp_path / "model.safetensors.index.json").write_text(content)
    with pytest.raises(ValueError, match="wanted JSON with a weight_map from tensor to file"):
        open_tensors(tmp_path)
