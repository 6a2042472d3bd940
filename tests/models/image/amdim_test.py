import re
from pathlib import Path

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from tests.reference.amdim_torch_names import our_tree, trunk_modules
from tvdim_jax.models.image.amdim import AMDIMEncoder

VECTORS = dict(
    np.load(Path(__file__).parents[2] / "data" / "amdim_encoder.npz", allow_pickle=False)
)
CASES = ["px32", "px32_bn", "px64", "px128"]


def case(name, **changes):
    """The encoder, its variables and input, and the vectors, of one stored case."""
    image_size, ndf, rkhs, depth, use_bn, _ = VECTORS[f"{name}/config"].tolist()
    sizes = {"image_size": image_size, "ndf": ndf, "rkhs": rkhs, "depth": depth}
    encoder = AMDIMEncoder(**sizes, use_bn=bool(use_bn), **changes)
    variables = our_tree(VECTORS, f"{name}/sd/", image_size)
    return encoder, variables, nhwc(f"{name}/x1")


def nhwc(name):
    return VECTORS[name].transpose(0, 2, 3, 1)


def maps(features):
    return {"r1": features[0][:, None, None], "r5": features[1][5], "r7": features[1][7]}


@pytest.mark.parametrize("name", CASES)
def test_tree_is_the_release_tree(name):
    encoder, variables, images = case(name)
    ours = jax.eval_shape(
        lambda key: encoder.init(key, jnp.zeros_like(images), train=False), jax.random.key(0)
    )
    chex.assert_trees_all_equal_shapes_and_dtypes(ours, variables)


@pytest.mark.parametrize("name", CASES)
def test_eval_maps_and_every_trunk_layer_match_the_release(name):
    encoder, variables, images = case(name)
    apply = jax.jit(
        lambda variables, images: encoder.apply(
            variables,
            images,
            train=False,
            capture_intermediates=True,
            mutable=["intermediates"],
        )
    )
    features, captured = apply(variables, images)
    layers = trunk_modules(encoder.image_size, encoder.depth)
    for i, module in enumerate(layers):
        if module not in captured["intermediates"]:
            continue  # the batch norm that does not run without use_bn
        (output,) = captured["intermediates"][module]["__call__"]
        rms = np.sqrt(np.mean(np.square(output)))
        np.testing.assert_allclose(rms, VECTORS[f"{name}/eval/act_norm_{i}"], rtol=1e-5)
    for key, value in maps(features).items():
        np.testing.assert_allclose(value, nhwc(f"{name}/eval/{key}"), atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", CASES)
def test_train_maps_and_running_statistics_match_the_release(name):
    encoder, variables, images = case(name)
    apply = jax.jit(
        lambda variables, images: encoder.apply(
            variables, images, train=True, mutable=["batch_stats"], capture_intermediates=True
        )
    )
    features, updated = apply(variables, images)
    for key, value in maps(features).items():
        np.testing.assert_allclose(value, nhwc(f"{name}/train/{key}"), atol=5e-5, rtol=0)

    # torch folds the unbiased variance into the running one, Flax the biased one.
    wanted = our_tree(VECTORS, f"{name}/train/after/", encoder.image_size)["batch_stats"]
    chex.assert_trees_all_equal_structs(updated["batch_stats"], wanted)
    for path, ours in jax.tree.leaves_with_path(updated["batch_stats"]):
        old, new = at(variables["batch_stats"], path), at(wanted, path)
        running = ours
        if path[-1].key == "var":
            (output,) = at(updated["intermediates"], path[:-1])["__call__"]
            count = output.size // output.shape[-1]
            running = 0.9 * old + (ours - 0.9 * old) * count / (count - 1)
        np.testing.assert_allclose(running, new, rtol=2e-5, atol=1e-6, err_msg=str(path))


def at(tree, path):
    for entry in path:
        tree = tree[entry.key]
    return tree


def test_widths_are_properties():
    encoder = AMDIMEncoder(32, ndf=4, rkhs=40, depth=1)
    assert (encoder.num_features, encoder.num_channels) == (40, 3)


@pytest.mark.parametrize(("mode", "tolerance"), [("eval", 0.01), ("train", 0.15)])
def test_bf16_is_close_to_float32_and_keeps_float32_state(mode, tolerance):
    # 8 bits of mantissa round by 0.4 %. Batch statistics of four similar images (r1 has no other
    # positions) divide by a spread much smaller than the activations and so enlarge that.
    encoder, variables, images = case("px32", dtype=jnp.bfloat16)
    features, updated = jax.jit(
        lambda v, x: encoder.apply(v, x, train=mode == "train", mutable=["batch_stats"])
    )(variables, images)
    chex.assert_trees_all_equal_dtypes(updated["batch_stats"], variables["batch_stats"])
    for key, value in maps(features).items():
        assert value.dtype == jnp.float32
        wanted = nhwc(f"px32/{mode}/{key}")
        error = np.linalg.norm(value - wanted) / np.linalg.norm(wanted)
        assert error < tolerance, key
        assert error > 1e-4, "the compute type has no effect"


def test_batch_statistics_are_global_over_8_devices():
    encoder, variables, images = case("px32")
    images = np.concatenate([images, images[::-1] * 0.5 + 0.1, images * 2.0, images + 1.0])
    mesh = jax.make_mesh((8,), ("data",), axis_types=(AxisType.Auto,))
    sharding = NamedSharding(mesh, PartitionSpec("data"))
    apply = jax.jit(lambda v, x: encoder.apply(v, x, train=True, mutable=["batch_stats"]))
    one = apply(variables, images)
    eight = apply(variables, jax.device_put(images, sharding))
    assert len(eight[0].global_features.sharding.device_set) == 8
    chex.assert_trees_all_close(eight, one, atol=2e-5, rtol=1e-5)


@pytest.mark.parametrize("image_size", [32, 64, 128])
def test_initial_values_and_zero_channels(image_size):
    encoder = AMDIMEncoder(image_size, ndf=4, rkhs=40, depth=2)
    images = jax.random.normal(jax.random.key(1), (2, image_size, image_size, 3))
    variables = jax.jit(lambda key: encoder.init(key, images, train=False))(jax.random.key(0))
    params = variables["params"]
    for name in ("block_0_unit_0", "block_to_3_unit_0"):
        kernel = params[name]["conv"]["kernel"]
        bound = 1 / np.sqrt(kernel[..., 0].size)
        assert np.abs(kernel).max() <= bound
        np.testing.assert_allclose(np.std(kernel), bound / np.sqrt(3), rtol=0.05)
        assert not params[name]["dense"]["kernel"].any()
    stem = params["stem"]["conv"]
    bound = 1 / np.sqrt(3 * stem["kernel"].shape[0] ** 2)
    assert 0.8 * bound < np.abs(stem["kernel"]).max() <= bound
    assert 0 < np.abs(stem["bias"]).max() <= bound
    # The trunk starts as stems, average pools and zero channels: r1 is 0 past the first ndf.
    apply = jax.jit(lambda v: encoder.apply(v, images, train=False).global_features)
    global_features = apply(variables)
    assert global_features[:, :4].any()
    assert not global_features[:, 4:].any()


@pytest.mark.parametrize(
    ("changes", "shape", "message"),
    [
        ({"image_size": 48}, (2, 48, 48, 3), "image_size is 48; wanted one of [32, 64, 128]"),
        ({"rkhs": 15}, (2, 32, 32, 3), "rkhs is 15; wanted at least 4 * ndf = 16"),
        ({"image_size": 64, "rkhs": 31}, (2, 64, 64, 3), "wanted at least 8 * ndf = 32"),
        ({"depth": 0}, (2, 32, 32, 3), "depth is 0; wanted at least 1"),
        ({}, (2, 3, 32, 32), "shape (2, 3, 32, 32); wanted [B, 32, 32, 3] (NHWC)"),
        ({}, (32, 32, 3), "shape (32, 32, 3); wanted"),
    ],
)
def test_errors_say_what_was_wanted(changes, shape, message):
    encoder = AMDIMEncoder(**{"image_size": 32, "ndf": 4, "rkhs": 32, "depth": 1} | changes)
    with pytest.raises(ValueError, match=re.escape(message)):
        jax.eval_shape(
            lambda key: encoder.init(key, jnp.zeros(shape), train=False), jax.random.key(0)
        )


@pytest.mark.parametrize(("image_size", "height"), [(32, 7), (32, 5), (64, 7)])
def test_a_region_sees_a_square_flush_with_the_border(image_size, height):
    """What the first vector of a map depends on, by its gradient."""
    encoder = AMDIMEncoder(image_size=image_size, ndf=4, rkhs=32, depth=1)
    images = jax.random.normal(jax.random.key(0), (1, image_size, image_size, 3))
    variables = jax.jit(lambda x: encoder.init(jax.random.key(1), x, train=False))(images)

    @jax.jit
    @jax.grad
    def gradient(images):
        features = encoder.apply(variables, images, train=False)
        return jnp.sum(features.local_features[height][0, 0, 0] ** 2)

    seen = np.abs(np.asarray(gradient(images)))[0].max(axis=-1) > 0
    field = encoder.field_pixels(height)
    assert seen[:field, :field].mean() > 0.9
    seen[:field, :field] = False
    assert not seen.any()
