"""ViT folders of Hugging Face: our encoders compute with them what theirs do.

tests/data/vit_folder.npz: CLIPVisionModelWithProjection and ViTModel of transformers 5.23.0, torch
2.13.0 on a CPU, evaluation mode, float32 (12 wide, 2 layers, 3 heads, 16 pixels in patches of 8),
weights drawn N(0, 0.3); two images, the states behind the last norm, CLIP's embeddings; tensors as
`save_pretrained` names them.
"""

from pathlib import Path

import jax
import numpy as np
import pytest
from safetensors.numpy import save_file

from tvdim_jax.models.image.positions import resize_positions
from tvdim_jax.models.image.vit import CLIPViT, ViT
from tvdim_jax.weights.vit import fill_vit, load_vit

VECTORS = dict(np.load(Path(__file__).parents[1] / "data" / "vit_folder.npz", allow_pickle=False))
SIZES = {"image_size": 16, "patch_size": 8, "width": 12, "depth": 2, "num_heads": 3}
ENCODERS = {"clip": CLIPViT(**SIZES, projection=6), "vit": ViT(**SIZES)}


def theirs(family):
    prefix = f"{family}/param/"
    return {
        name.removeprefix(prefix): array
        for name, array in VECTORS.items()
        if name.startswith(prefix)
    }


def fresh(encoder):
    images = np.zeros((1, encoder.image_size, encoder.image_size, 3), np.float32)
    shapes = jax.eval_shape(lambda key: encoder.init(key, images, train=False), jax.random.key(0))
    return jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), shapes["params"])


def fill(tensors, encoder):
    return fill_vit(tensors, fresh(encoder), resize_positions=resize_positions)


@pytest.mark.parametrize("family", ENCODERS)
def test_a_folder_gives_the_features_of_its_model(tmp_path, family):
    encoder = ENCODERS[family]
    save_file(theirs(family), tmp_path / "model.safetensors")
    params, report = load_vit(tmp_path, fresh(encoder), resize_positions=resize_positions)
    features = jax.jit(lambda params, x: encoder.apply({"params": params}, x, train=False))(
        params, VECTORS["images"]
    )
    if family == "clip":
        wanted = VECTORS["clip/embedding"]
        grid = VECTORS["clip/tokens"][:, 1:] @ theirs("clip")["visual_projection.weight"].T
    else:
        wanted, grid = VECTORS["vit/tokens"][:, 0], VECTORS["vit/tokens"][:, 1:]
    np.testing.assert_allclose(features.global_features, wanted, rtol=1e-4, atol=2e-5)
    local = np.asarray(features.local_features[2]).reshape(2, 4, -1)
    np.testing.assert_allclose(local, grid, rtol=1e-4, atol=2e-5)
    assert sum(report.loaded.values()) == sum(leaf.size for leaf in jax.tree.leaves(params))
    assert report.new == {}
    assert {name.split(".")[0] for name in report.unused} <= {"pooler"}


def test_the_unprojected_tower_leaves_the_projection_in_the_file():
    params, report = fill(theirs("clip"), CLIPViT(**SIZES, projection=None))
    assert "projection" not in params
    assert report.unused == {"visual_projection.weight": "no part of ours"}


def test_prefix_and_type_of_other_files():
    named = {f"vit.{name}": array.astype(np.float16) for name, array in theirs("vit").items()}
    params, _ = fill(named, ENCODERS["vit"])
    assert params["block_0"]["dense_1"]["kernel"].dtype == np.float32
    wanted = theirs("vit")["embeddings.cls_token"]
    np.testing.assert_allclose(params["class_token"], wanted, rtol=1e-3)


def test_positions_of_another_image_size_are_resized():
    params, report = fill(theirs("vit"), ViT(**SIZES | {"image_size": 32}))
    stored = theirs("vit")["embeddings.position_embeddings"][0]
    np.testing.assert_allclose(params["positions"], resize_positions(stored, 4), rtol=1e-5)
    assert report.remarks == ("positions: 5 resized to 17",)


def test_what_does_not_fit_says_so():
    with pytest.raises(ValueError, match=r"'encoder\.layer\.2\..*' for our block_2"):
        fill(theirs("vit"), ViT(**SIZES | {"depth": 3}))
    with pytest.raises(ValueError, match="wanted a ViT of the same family and depth"):
        fill(theirs("vit"), ENCODERS["clip"])
    with pytest.raises(ValueError, match=r"has the shape .*12.* in our layout; wanted .*8"):
        fill(theirs("vit"), ViT(**SIZES | {"width": 24}))
