import re
from pathlib import Path

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.reference.vit_torch_names import our_params
from tvdim_jax.models.image import CLIPViT, ViT
from tvdim_jax.models.image.vit import quick_gelu

with np.load(Path(__file__).parents[2] / "data" / "vit.npz", allow_pickle=False) as arrays:
    VECTORS = dict(arrays)
SIZES = {"image_size": 32, "patch_size": 8, "width": 24, "depth": 2, "num_heads": 3}


def params_of(prefix):
    names = [name for name in VECTORS if name.startswith(prefix)]
    return our_params({name.removeprefix(prefix): VECTORS[name] for name in names}, num_heads=3)


def sequence(features):
    """Class token and patches in sequence, as the docstring tells."""
    ((height, local),) = features.local_features.items()
    batch, _, _, width = local.shape
    patches = local.reshape(batch, height * height, width)
    return jnp.concatenate([features.global_features[:, None], patches], axis=1)


def test_vit_tokens_and_gradients_match_timm():
    """Vectors: timm 1.0 `VisionTransformer(img_size=32, patch_size=8, embed_dim=24, depth=2,
    num_heads=3, num_classes=0)` under torch 2.13, in float64 of float32 weights: matrices normal
    with variance 1 / fan-in, vectors 0.2 normal, scales 1 + 0.2 normal. Tokens of
    `forward_features` on two normal images; gradients of their mean cube.
    """

    @jax.jit
    def loss_and_grads(params):
        def loss(params):
            features = ViT(**SIZES).apply({"params": params}, VECTORS["vit/images"], train=True)
            tokens = sequence(features)
            return jnp.mean(tokens**3), tokens

        return jax.value_and_grad(loss, has_aux=True)(params)

    (loss, tokens), grads = loss_and_grads(params_of("vit/sd/"))
    np.testing.assert_allclose(tokens, VECTORS["vit/tokens"], atol=1e-5)
    np.testing.assert_allclose(loss, VECTORS["vit/loss"], rtol=1e-5)
    wanted = params_of("vit/grad/")
    chex.assert_trees_all_equal_shapes_and_dtypes(grads, wanted)
    for path, ours in jax.tree.leaves_with_path(grads):
        theirs = at(wanted, path)
        # Softmax does not see the key bias: its gradient is zero up to rounding.
        scale = max(np.abs(theirs).max(), 1e-2)
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-5 * scale, err_msg=str(path))


def at(tree, path):
    for entry in path:
        tree = tree[entry.key]
    return tree


def test_clip_features_match_open_clip():
    """Vectors: the vision tower of open_clip 3.3 (`CLIPVisionCfg(layers=2, width=24, head_width=8,
    patch_size=8, image_size=32, output_tokens=True)`, embed_dim 20, quick_gelu) under torch 2.13,
    weights and images as for timm: pooled output, and the patches after its last norm.
    """
    params, images = params_of("clip/sd/"), VECTORS["clip/images"]
    features = CLIPViT(**SIZES, projection=20).apply({"params": params}, images, train=False)
    np.testing.assert_allclose(features.global_features, VECTORS["clip/global"], atol=1e-5)
    patches = VECTORS["clip/normed_patches"].reshape(2, 4, 4, 24)
    projected = patches @ VECTORS["clip/sd/proj"]
    np.testing.assert_allclose(features.local_features[4], projected, atol=1e-5)

    # Without the projection: the same weights but one, and the normed tokens themselves.
    params = {name: tree for name, tree in params.items() if name != "projection"}
    encoder = CLIPViT(**SIZES, projection=None)
    assert encoder.num_features == 24
    features = encoder.apply({"params": params}, images, train=False)
    np.testing.assert_allclose(features.local_features[4], patches, atol=1e-5)
    pooled = features.global_features @ VECTORS["clip/sd/proj"]
    np.testing.assert_allclose(pooled, VECTORS["clip/global"], atol=1e-5)


ENCODERS = {"vit": ViT(**SIZES), "clip": CLIPViT(**SIZES, projection=20)}


@pytest.mark.parametrize("name", ENCODERS)
def test_tree_and_initial_values(name):
    encoder = ENCODERS[name].clone(depth=1)
    images = VECTORS[f"{name}/images"]
    init = jax.jit(lambda key: encoder.init(key, images, train=False))
    params = init(jax.random.key(0))["params"]
    wanted = params_of(f"{name}/sd/")
    del wanted["block_1"]
    chex.assert_trees_all_equal_shapes_and_dtypes(params, wanted)
    table, dense = (0.02, 0.02) if name == "vit" else (24**-0.5, (3 * 24) ** -0.5)
    np.testing.assert_allclose(np.std(params["positions"]), table, rtol=0.1)
    for kernel in (params["block_0"]["attention"]["query"], params["block_0"]["dense_1"]):
        np.testing.assert_allclose(np.std(kernel["kernel"]), dense, rtol=0.1)
        assert not kernel["bias"].any()


@pytest.mark.parametrize("name", ENCODERS)
def test_bf16_is_close_to_float32_and_returns_it(name):
    encoder, images = ENCODERS[name].clone(dtype=jnp.bfloat16), VECTORS[f"{name}/images"]
    params = params_of(f"{name}/sd/")
    features = jax.jit(lambda p: encoder.apply({"params": p}, images, train=True))(params)
    assert {leaf.dtype for leaf in jax.tree.leaves(features)} == {jnp.dtype("float32")}
    wanted = VECTORS["vit/tokens"][:, 0] if name == "vit" else VECTORS["clip/global"]
    error = np.linalg.norm(features.global_features - wanted) / np.linalg.norm(wanted)
    assert 1e-4 < error < 0.02  # bfloat16 rounds by 0.4 %


def test_quick_gelu_at_known_points():
    x = np.array([-3.0, -0.5, 0.0, 1.0, 4.0], np.float32)
    np.testing.assert_allclose(quick_gelu(jnp.asarray(x)), x / (1 + np.exp(-1.702 * x)), rtol=1e-6)


@pytest.mark.parametrize("encoder", [ViT, CLIPViT])
@pytest.mark.parametrize(
    ("changes", "shape", "message"),
    [
        (
            {"image_size": 30},
            (2, 30, 30, 3),
            "image_size is 30; wanted a multiple of patch_size = 8",
        ),
        ({"num_heads": 5}, (2, 32, 32, 3), "width is 24; wanted a multiple of num_heads = 5"),
        ({}, (2, 32, 32, 1), "shape (2, 32, 32, 1); wanted [B, 32, 32, 3] (NHWC)"),
    ],
)
def test_errors_say_what_was_wanted(encoder, changes, shape, message):
    module = encoder(**SIZES | changes)
    with pytest.raises(
        ValueError, match=re.escape(f"{encoder.__name__}: ") + ".*" + re.escape(message)
    ):
        jax.eval_shape(
            lambda key: module.init(key, jnp.zeros(shape), train=False), jax.random.key(0)
        )
