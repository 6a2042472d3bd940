"""The split critic against concatenating each pair, and against the critic of the LMI release."""

import math
import re
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tvdim_jax.critics import ConcatMLP

RNG = np.random.default_rng(3)
N, M, DX, DY = 5, 7, 6, 4
X = RNG.normal(size=(N, DX)).astype(np.float32)
Y = RNG.normal(size=(M, DY)).astype(np.float32)
HIDDEN = (9, 8)


@pytest.fixture(scope="module")
def release():
    """Features, weights, logits and gradients of the released critic in torch (4 pairs by 4)."""
    with np.load(Path(__file__).parents[1] / "data/lmi_critic.npz", allow_pickle=False) as arrays:
        return dict(arrays)


def our_tree(arrays, width_x, prefix=""):
    """Weights `W0 [H, D_x + D_y]`, `b0`, ... of torch's linear layers as our parameters."""
    count = sum(name.startswith(f"{prefix}W") for name in arrays)
    layers = [
        {"kernel": arrays[f"{prefix}W{k}"].T, "bias": arrays[f"{prefix}b{k}"]} for k in range(count)
    ]
    kernel = layers[0].pop("kernel")
    layers[0] |= {"x": kernel[:width_x], "y": kernel[width_x:]}
    return {"params": {f"layers_{k}": layer for k, layer in enumerate(layers)}}


def random_tree(hidden):
    widths = [DX + DY, *hidden, 1]
    shapes = {f"W{k}": widths[k : k + 2][::-1] for k in range(len(hidden) + 1)}
    shapes |= {f"b{k}": widths[k + 1] for k in range(len(hidden) + 1)}
    arrays = {name: RNG.normal(size=shape, scale=0.5) for name, shape in shapes.items()}
    return our_tree({name: array.astype(np.float32) for name, array in arrays.items()}, DX)


PARAMS = random_tree(HIDDEN)


def concatenated(params, x, y):
    """Scores `[N, M]` as `MLP([x_i ; y_j])` of all pairs, concatenated before the first layer."""
    layers = [params["params"][f"layers_{k}"] for k in range(len(params["params"]))]
    kernels = [jnp.concatenate([layers[0]["x"], layers[0]["y"]])]
    kernels += [layer["kernel"] for layer in layers[1:]]
    units = jnp.concatenate([jnp.repeat(x, len(y), 0), jnp.tile(y, (len(x), 1))], axis=1)
    for k, (kernel, layer) in enumerate(zip(kernels, layers, strict=True)):
        units = (jnp.maximum(units, 0) if k else units) @ kernel + layer["bias"][None]
    return units.reshape(len(x), len(y))


def in_numpy(params, x, y):
    """The same in float64 NumPy, one pair at a time."""
    layers = [params["params"][f"layers_{k}"] for k in range(len(params["params"]))]
    layers = [{k: np.asarray(v, np.float64) for k, v in layer.items()} for layer in layers]
    scores = np.zeros((len(x), len(y)))
    for i, j in np.ndindex(scores.shape):
        units = np.concatenate([x[i], y[j]])
        units = np.concatenate([layers[0]["x"], layers[0]["y"]]).T @ units + layers[0]["bias"]
        for layer in layers[1:]:
            units = layer["kernel"].T @ np.maximum(units, 0) + layer["bias"]
        (scores[i, j],) = units
    return scores


def test_hand_value():
    tree = our_tree(
        {
            "W0": np.array([[1.0, -1.0], [2.0, 3.0]]),
            "b0": np.array([0.5, -1.0]),
            "W1": np.array([[1.0, -1.0]]),
            "b1": np.array([4.0]),
            "W2": np.array([[-2.0]]),
            "b2": np.array([1.0]),
        },
        width_x=1,
    )
    # [3 ; 1]: (2.5, 8) -> relu(-1.5) = 0 -> 1.   [0 ; 1]: (-0.5, 2) -> (0, 2) -> 2 -> -3.
    scores = jax.jit(ConcatMLP((2, 1)).apply)(tree, np.array([[3.0], [0.0]]), np.array([[1.0]]))
    np.testing.assert_allclose(scores, [[1.0], [-3.0]])


@pytest.mark.parametrize("hidden", [(9, 8, 3), (9,)])
def test_equal_to_the_concatenated_pairs(hidden):
    params = random_tree(hidden)
    scores = jax.jit(ConcatMLP(hidden).apply)(params, X, Y)
    assert scores.dtype == jnp.float32
    np.testing.assert_allclose(scores, in_numpy(params, X, Y), rtol=1e-5, atol=1e-6)


def test_scores_of_the_release(release):
    tree = our_tree(release, release["z_img"].shape[1])
    scores = jax.jit(ConcatMLP((7, 5)).apply)(tree, release["z_img"], release["z_txt"])
    image, report = release["pair_index"].T
    assert len(set(zip(image, report, strict=True))) == scores.size == 16
    np.testing.assert_allclose(
        np.asarray(scores)[image, report], release["logits"][:, 0], rtol=1e-5, atol=1e-6
    )


def test_gradients_of_the_release(release):
    """Of `logsumexp of the negatives - mean of the positives`, the 4 first rows of the logits."""
    width_x = release["z_img"].shape[1]
    logits = release["logits"][:, 0].astype(np.float64)
    weights = np.exp(logits[4:]) / np.exp(logits[4:]).sum()
    cotangent = np.zeros((4, 4), np.float32)
    image, report = release["pair_index"].T
    cotangent[image, report] = np.concatenate([np.full(4, -1 / 4), weights])
    arguments = our_tree(release, width_x), release["z_img"], release["z_txt"]

    @jax.jit
    def gradients(*arguments):
        _, backward = jax.vjp(ConcatMLP((7, 5)).apply, *arguments)
        return backward(jnp.asarray(cotangent))

    got = gradients(*arguments)
    wanted = (
        our_tree(release, width_x, "dv_grad_"),
        release["dv_grad_z_img"],
        release["dv_grad_z_txt"],
    )
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6), got, wanted)


def test_gradients_equal_those_of_the_concatenated_form(x64):
    point = jax.tree.map(lambda a: jnp.asarray(a, jnp.float64), (PARAMS, X, Y))

    def gradients(score):
        return jax.grad(lambda *a: jnp.sum(jnp.sin(score(*a))), (0, 1, 2))(*point)

    got, expected = jax.jit(
        lambda: [gradients(score) for score in (ConcatMLP(HIDDEN).apply, concatenated)]
    )()
    for leaf, wanted in zip(jax.tree.leaves(got), jax.tree.leaves(expected), strict=True):
        assert leaf.dtype == jnp.float64
        assert np.all(np.isfinite(leaf))
        assert np.any(leaf != 0)
        np.testing.assert_allclose(leaf, wanted, rtol=1e-12, atol=1e-13)


def test_tiles_jit_vmap_and_eight_devices_agree():
    critic = ConcatMLP(HIDDEN)
    x, y = np.resize(X, (8, DX)), np.resize(Y, (16, DY))
    expected = in_numpy(PARAMS, x, y)

    @jax.jit
    def scores(x, y):
        hidden_x, hidden_y = critic.apply(PARAMS, x, y, method="split")
        assert (hidden_x.shape, hidden_y.shape) == ((8, 9), (16, 9))
        tile = critic.apply(PARAMS, hidden_x[1:3], hidden_y[4:], method="score")
        two = jax.vmap(critic.apply, (None, 0, None))(PARAMS, jnp.stack([x, x[::-1]]), y)
        return critic.apply(PARAMS, x, y), tile, two

    mesh = jax.make_mesh((8,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
    sharded = jax.device_put((x, y), jax.NamedSharding(mesh, jax.P("data")))
    for features in [(x, y), sharded]:
        whole, tile, two = scores(*features)
        np.testing.assert_allclose(whole, expected, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(tile, expected[1:3, 4:], rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(two, [expected, expected[::-1]], rtol=1e-5, atol=1e-6)


def test_bfloat16_features_are_computed_in_it_and_summed_in_float32():
    critic = ConcatMLP(HIDDEN)
    low = jnp.asarray(X, jnp.bfloat16), jnp.asarray(Y, jnp.bfloat16)
    program = jax.jit(critic.apply).lower(PARAMS, *low)
    products = program.as_text().split("dot_general")[1:]
    types = [re.findall(r"x(b?f\d+)>", product)[:3] for product in products]
    assert types == [["bf16", "bf16", "f32"]] * 4
    scores = program.compile()(PARAMS, *low)
    assert scores.dtype == jnp.float32
    exact = in_numpy(PARAMS, *(np.asarray(features, np.float64) for features in low))
    np.testing.assert_allclose(scores, exact, atol=0.02 * np.abs(exact).max())


def test_number_of_parameters_at_the_sizes_of_the_paper():
    shapes = jax.eval_shape(
        ConcatMLP().init, jax.random.key(0), jnp.ones((2, 768)), jnp.ones((3, 768))
    )
    sizes = {
        "layers_0": {"bias": (1024,), "x": (768, 1024), "y": (768, 1024)},
        "layers_1": {"bias": (512,), "kernel": (1024, 512)},
        "layers_2": {"bias": (1,), "kernel": (512, 1)},
    }
    assert jax.tree.map(jnp.shape, shapes) == {"params": sizes}
    assert sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(shapes)) == 2_099_201
    assert {leaf.dtype for leaf in jax.tree.leaves(shapes)} == {jnp.dtype(jnp.float32)}


def test_first_values_are_those_of_linear_layers_in_torch():
    critic, x, y = ConcatMLP((200,)), np.ones((2, 40)), np.ones((2, 60))
    layers = jax.jit(critic.init)(jax.random.key(5), x, y)["params"]
    for layer, fan_in in [("layers_0", 100), ("layers_1", 200)]:
        for leaf in jax.tree.leaves(layers[layer]):
            values, bound = np.asarray(leaf), 1 / np.sqrt(fan_in)
            assert np.abs(values).max() <= bound
            if values.size > 100:
                assert values.min() < -0.95 * bound
                assert values.max() > 0.95 * bound
                assert abs(values.mean()) < 5 * bound / np.sqrt(3 * values.size)


def largest_array(function, *arguments):
    """Elements of the largest array in the compiled program."""
    program = jax.jit(function).lower(*arguments).compile().as_text()
    shapes = re.findall(r"\b(?:pred|bf16|[fsu]\d+)\[([\d,]+)\]", program)
    return max(math.prod(map(int, shape.split(","))) for shape in shapes)


def test_the_pairs_features_are_never_built():
    critic = ConcatMLP()
    x = y = jax.ShapeDtypeStruct((64, 768), jnp.float32)
    params = jax.eval_shape(critic.init, jax.random.key(0), x, y)

    def joined(params, x, y):
        pairs = jnp.concatenate([jnp.repeat(x, 64, axis=0), jnp.tile(y, (64, 1))], axis=1)
        first = params["params"]["layers_0"]
        return pairs @ jnp.concatenate([first["x"], first["y"]])

    assert largest_array(joined, params, x, y) >= 64 * 64 * 1536  # so this sees such an array
    assert largest_array(critic.apply, params, x, y) <= 64 * 64 * 1024


@pytest.mark.parametrize(
    ("critic", "arguments", "message"),
    [
        (ConcatMLP(HIDDEN), (X[0], Y), r"features: got x \(6,\) and y \(7, 4\), wanted \[N, D_x\]"),
        (ConcatMLP(HIDDEN), (X, Y[None]), r"and y \(1, 7, 4\), .* and vmap over leading axes"),
        (ConcatMLP(()), (X, Y), r"hidden: got \(\), wanted one or more widths .* take bilinear"),
        (ConcatMLP((8, 0)), (X, Y), r"hidden: got \(8, 0\), wanted one or more widths of at least"),
    ],
)
def test_wrong_arguments_say_so(critic, arguments, message):
    with pytest.raises(ValueError, match=message):
        critic.init(jax.random.key(0), *arguments)


def test_score_wants_what_split_returned():
    message = r"hidden features: got \(5, 6\) and \(7, 4\), wanted \[n, 9\] and .* not the features"
    with pytest.raises(ValueError, match=message):
        ConcatMLP(HIDDEN).apply(PARAMS, X, Y, method="score")
