import re
from pathlib import Path

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.reference.resnet_torch_names import our_path, our_tree
from tvdim_jax.models.image import LMIResNet, ResNet

DATA = Path(__file__).parents[2] / "data"
with np.load(DATA / "lmi_resnet.npz", allow_pickle=False) as arrays:
    RELEASE = dict(arrays)
with np.load(DATA / "resnet.npz", allow_pickle=False) as arrays:
    TORCH = dict(arrays)
SMALL = ResNet(image_size=48, width=4, stage_blocks=(2, 1))


def nhwc(array):
    return array.transpose(0, 2, 3, 1)


def release_tensors():
    """Weights of the release's net by their formula, {torch name: array}.

    Tensor k at flat position t holds s = sin(0.7 t + 0.37 k) + sin(1.9 t + 0.11 k), scaled.
    """
    shapes = lmi_torch_shapes()
    tensors = {}
    for entry in RELEASE["param_name_kind"]:
        k, name, kind = str(entry).split(":")
        if kind.startswith("fc"):
            continue  # the classifier, which MI training does not use
        t, k = np.arange(np.prod(shapes[name])), int(k)
        s = np.sin(0.7 * t + 0.37 * k) + np.sin(1.9 * t + 0.11 * k)
        s = s.reshape(shapes[name])
        if kind == "conv":
            out, _, height, width = shapes[name]
            tensors[name] = s * np.sqrt(2 / (out * height * width))
        else:
            tensors[name] = 0.1 * s + (1 if kind == "bn_w" else 0)
    return {name: tensor.astype(np.float32) for name, tensor in tensors.items()}


def lmi_torch_shapes():
    """{torch name: torch shape} of our own parameters."""
    params = jax.eval_shape(
        lambda key: LMIResNet().init(key, jnp.zeros((1, 256, 256, 1)), train=False),
        jax.random.key(0),
    )["params"]
    shapes = {}
    for entry in RELEASE["param_name_kind"]:
        _, name, kind = str(entry).split(":")
        if not kind.startswith("fc"):
            leaf = params
            for word in our_path(name)[1:]:
                leaf = leaf[word]
            shapes[name] = (
                leaf.shape if leaf.ndim == 1 else tuple(leaf.shape[i] for i in (3, 2, 0, 1))
            )
    return shapes


def buffers(values):
    """The release's running statistics, stored end to end, as our tree."""
    ends = np.cumsum(RELEASE["bn_buffer_size"])[:-1]
    names = [str(name) for name in RELEASE["bn_buffer_name"]]
    return our_tree(dict(zip(names, np.split(values, ends), strict=True)))["batch_stats"]


def initial_statistics(stats):
    def value(path, leaf):
        return np.full_like(leaf, path[-1].key == "var")

    return jax.tree.map_with_path(value, stats)


@pytest.fixture(scope="module")
def release():
    """Parameters and images of the release's vectors, made by their formulas."""
    column, row = np.meshgrid(np.arange(256), np.arange(256))
    images = [
        0.5 + 0.25 * np.sin(0.05 * column + b) + 0.25 * np.cos(0.031 * row * (b + 1))
        for b in range(3)
    ]
    images = np.stack(images).astype(np.float32)[..., None]
    checksum = images.sum((1, 2, 3), dtype=np.float64)
    np.testing.assert_allclose(checksum, RELEASE["input_checksum"], rtol=1e-12)
    return our_tree(release_tensors())["params"], images


def test_lmi_eval_features_match_the_release(release):
    """Vectors: the released net (torch 2.13, float32) in eval mode with formula-made weights."""
    params, images = release
    variables = {"params": params, "batch_stats": buffers(RELEASE["bn_buffers_for_eval"])}
    apply = jax.jit(lambda variables: LMIResNet().apply(variables, images, train=False))
    features = apply(variables)
    assert list(features.local_features) == [8]
    np.testing.assert_allclose(features.global_features, RELEASE["eval_z"], atol=1e-4)
    local = nhwc(RELEASE["eval_z_local"])
    np.testing.assert_allclose(features.local_features[8], local, atol=5e-4)


def train_loss(encoder, params, stats, images):
    """The mean square of z, train mode; (features, running statistics)."""
    variables = {"params": params, "batch_stats": stats}
    features, moved = encoder.apply(variables, images, train=True, mutable=["batch_stats"])
    return jnp.square(features.global_features).mean(), (features, moved["batch_stats"])


def test_lmi_training_matches_the_release(release):
    """Vectors: the released net in train mode, from running statistics (0, 1), one forward; the
    gradient of mean(z^2) for the last scale.
    """
    params, images = release
    wanted = buffers(RELEASE["bn_buffers_after_1_train_step"])
    stats = initial_statistics(wanted)

    def loss(block):
        return train_loss(LMIResNet(), {**params, "stage_6_block_2": block}, stats, images)

    grad = jax.jit(jax.value_and_grad(loss, has_aux=True))
    (value, (features, moved)), grads = grad(params["stage_6_block_2"])
    np.testing.assert_allclose(features.global_features, RELEASE["train_z"], atol=2e-4)
    local = nhwc(RELEASE["train_z_local"])
    np.testing.assert_allclose(features.local_features[8], local, atol=1e-3)
    chex.assert_trees_all_close(moved, wanted, rtol=1e-5, atol=5e-6)
    np.testing.assert_allclose(value, RELEASE["train_loss_mean_z_sq"], rtol=1e-6)
    theirs = RELEASE["train_grad_layer6.1.bn2.weight"]
    scale = grads["conv_2"]["batch_norm"]["scale"]
    np.testing.assert_allclose(scale, theirs, rtol=0, atol=1e-5 * np.abs(theirs).max())


@pytest.mark.slow
def test_lmi_gradient_of_the_stem_matches_the_release(release, x64):
    """Vectors: the gradient of mean(z^2), train mode, for the first kernel.

    We compute in float64. This gradient is a small difference of sums over 200,000 positions: the
    release's float32 errs by 5e-5 of its maximum, ours on a CPU by 5e-4.
    """
    params, images = release
    stats = initial_statistics(buffers(RELEASE["bn_buffers_for_eval"]))
    params = jax.tree.map(np.float64, params)
    encoder = LMIResNet(dtype=jnp.float64)
    grad = jax.jit(jax.grad(lambda params: train_loss(encoder, params, stats, images)[0]))
    kernel = grad(params)["stem"]["conv"]["kernel"].transpose(3, 2, 0, 1)
    np.testing.assert_allclose(kernel, RELEASE["train_grad_conv1"], atol=1e-4)


def torch_tree(prefix):
    """Vectors: torchvision 0.28 `ResNet` of `Bottleneck` under torch 2.13, cut after the second
    stage, with 2 and 1 blocks and a stem of 4 channels, in float64 of float32 weights: kernels
    normal with variance 1 / fan-in, scales 1 + 0.2 normal, biases 0.2 normal, running statistics
    those after one other batch; on 8 normal images of 48 pixels.
    """
    names = [name for name in TORCH if name.startswith(prefix)]
    return our_tree({name.removeprefix(prefix): TORCH[name] for name in names})


def test_resnet_eval_maps_match_torchvision():
    """Vectors: see `torch_tree`; the maps are those of the first image."""
    apply = jax.jit(lambda variables: SMALL.apply(variables, TORCH["images"], train=False))
    features = apply(torch_tree("sd/"))
    np.testing.assert_allclose(features.global_features, TORCH["eval/global"], atol=1e-5)
    assert sorted(features.local_features) == [6, 12]
    for stage, height in enumerate((12, 6), start=1):
        ours, theirs = features.local_features[height][:1], TORCH[f"eval/stage_{stage}"]
        np.testing.assert_allclose(ours, theirs, atol=1e-5 * np.abs(theirs).max())


def test_resnet_training_matches_torchvision(x64):
    """Vectors: see `torch_tree`; gradients of the mean square of the global features. In float64:
    batch norm's backward pass would cost float32 two digits.
    """
    variables = jax.tree.map(np.float64, torch_tree("sd/"))
    encoder = SMALL.clone(dtype=jnp.float64)
    grad = jax.jit(
        jax.value_and_grad(
            lambda params: train_loss(
                encoder, params, variables["batch_stats"], TORCH["images"].astype(np.float64)
            ),
            has_aux=True,
        )
    )
    (value, (features, stats)), grads = grad(variables["params"])
    np.testing.assert_allclose(value, TORCH["train/loss"], rtol=1e-6)
    np.testing.assert_allclose(features.global_features, TORCH["train/global"], atol=1e-6)
    np.testing.assert_allclose(features.local_features[6][:1], TORCH["train/stage_2"], atol=2e-6)
    wanted = torch_tree("train/after/")["batch_stats"]
    chex.assert_trees_all_equal_shapes(stats, wanted)
    chex.assert_trees_all_close(stats, jax.tree.map(np.float64, wanted), rtol=1e-6, atol=1e-7)
    wanted = torch_tree("train/grad/")["params"]
    chex.assert_trees_all_equal_shapes(grads, wanted)
    errors = jax.tree.map(lambda a, b: np.abs(a - b).max() / np.abs(b).max(), grads, wanted)
    assert max(jax.tree.leaves(errors)) < 1e-6


def test_bf16_is_close_to_float32_and_keeps_float32_state():
    encoder = SMALL.clone(dtype=jnp.bfloat16)
    apply = jax.jit(
        lambda variables: encoder.apply(
            variables, TORCH["images"], train=False, mutable=["batch_stats"]
        )
    )
    variables = torch_tree("sd/")
    features, stats = apply(variables)
    chex.assert_trees_all_equal_shapes_and_dtypes(stats["batch_stats"], variables["batch_stats"])
    pairs = [
        (features.global_features, TORCH["eval/global"]),
        (features.local_features[12][:1], TORCH["eval/stage_1"]),
        (features.local_features[6][:1], TORCH["eval/stage_2"]),
    ]
    for ours, theirs in pairs:
        assert ours.dtype == jnp.float32
        error = np.linalg.norm(ours - theirs) / np.linalg.norm(theirs)
        assert 1e-4 < error < 0.02  # bfloat16 rounds each layer by 0.4 %


@pytest.mark.parametrize("encoder", [LMIResNet(9, (8, 32)), ResNet(32, 8, (1,))])
def test_initial_values(encoder):
    images = jnp.zeros((2, encoder.image_size, encoder.image_size, encoder.num_channels))
    init = jax.jit(lambda key: encoder.init(key, images, train=True))
    variables = init(jax.random.key(0))
    block = variables["params"]["stage_1_block_1"]
    kernel = block["conv_2"]["conv"]["kernel"]
    assert kernel.shape == (3, 3, 8, 8)
    np.testing.assert_allclose(np.std(kernel), np.sqrt(2 / (9 * 8)), rtol=0.1)
    kernel = variables["params"]["stem"]["conv"]["kernel"]
    np.testing.assert_allclose(np.std(kernel), np.sqrt(2 / kernel[..., 0, :].size), rtol=0.2)
    np.testing.assert_array_equal(block["shortcut"]["batch_norm"]["scale"], 1)
    np.testing.assert_array_equal(variables["batch_stats"]["stem"]["batch_norm"]["var"], 1)


@pytest.mark.parametrize(
    ("image_size", "height", "width"),
    [(224, 7, 768), (256, 8, 768), (320, 10, 768), (512, 16, 3072)],
)
def test_lmi_shapes_at_other_sizes(image_size, height, width):
    encoder = LMIResNet(image_size)
    features, _ = jax.eval_shape(
        lambda key: encoder.init_with_output(
            key, jnp.zeros((2, image_size, image_size, 1)), train=False
        ),
        jax.random.key(0),
    )
    assert features.global_features.shape == (2, width)
    assert features.local_features[height].shape == (2, height, height, 128)
    assert encoder.num_features == width


@pytest.mark.parametrize(
    ("encoder", "shape", "message"),
    [
        (LMIResNet(64), (2, 64, 64, 1), "LMIResNet: image_size is 64; wanted at least 65 pixels"),
        (
            LMIResNet(),
            (2, 256, 256, 3),
            "LMIResNet: images have shape (2, 256, 256, 3); wanted [B,",
        ),
        (ResNet(31), (2, 31, 31, 3), "ResNet: image_size is 31; wanted at least 32 pixels"),
        (ResNet(), (2, 3, 224, 224), "ResNet: images have shape (2, 3, 224, 224); wanted [B, 224,"),
    ],
)
def test_errors_say_what_was_wanted(encoder, shape, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        jax.eval_shape(
            lambda key: encoder.init(key, jnp.zeros(shape), train=False), jax.random.key(0)
        )
