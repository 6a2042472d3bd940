import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen as nn

from tvdim_jax.models.variants import make_image_encoder, make_text_encoder
from tvdim_jax.train import layer_rates

IMAGE = [
    ("amdim_demo", 32),
    ("amdim_tiny", 64),
    ("amdim_tiny", 128),
    ("resnet256_tiny", 64),
    ("resnet50_tiny", 64),
    ("vit_tiny", 32),
    ("clip_vit_tiny", 32),
]


def called_parts(run):
    """What `run` gives, and the parts of the outermost module in the order in which it calls."""
    order = []

    def note(call, arguments, options, context):
        if len(context.module.path) == 1 and context.method_name == "__call__":
            order.append(context.module.path[0])
        return call(*arguments, **options)

    with nn.intercept_methods(note):
        shapes = jax.eval_shape(run, jax.random.key(0))
    return shapes["params"], order


@pytest.mark.parametrize(("name", "size"), IMAGE)
def test_depth_falls_in_the_order_in_which_an_image_encoder_calls_its_parts(name, size):
    encoder = make_image_encoder(name, image_size=size)
    images = jnp.zeros((2, size, size, encoder.num_channels))
    params, order = called_parts(lambda key: encoder.init(key, images, train=False))
    depths = layer_rates.layer_depths(params)
    assert set(depths) == set(params)
    called = [depths[part] for part in order]
    assert called == sorted(called, reverse=True)
    assert set(called) == set(range(min(called), max(called) + 1))  # no step is left out
    assert min(called) <= 1
    for part in set(params) - set(order):  # class token and positions, which are no modules
        assert depths[part] == max(called)


def test_depths_of_text_encoders():
    ids = jnp.zeros((2, 4), jnp.int32)
    depths = {}
    for name in ("text_demo", "bert_tiny"):
        encoder = make_text_encoder(name, vocab_size=9)
        init = lambda key, module=encoder: module.init(key, ids, ids == 0, train=False)  # noqa: E731
        depths[name] = layer_rates.layer_depths(jax.eval_shape(init, jax.random.key(0))["params"])
    blocks = {"block_0": 2, "block_1": 1}
    assert depths["text_demo"] == {"tokens": 3, "positions": 3, **blocks, "norm": 0}
    assert depths["bert_tiny"].pop("layers").tolist() == [2, 1]
    outside = {"tokens": 3, "positions": 3, "types": 3, "norm": 3, "pooler": 0}
    assert depths["bert_tiny"] == outside


def test_an_update_is_exactly_its_rate_times_that_of_sgd():
    rng = np.random.default_rng(0)
    dense = {"kernel": rng.normal(size=(2, 3, 4)), "bias": rng.normal(size=(2, 4))}
    params = {
        "tokens": {"embedding": rng.normal(size=(5, 3))},
        "layers": {"dense": dense},
        "pooler": {"bias": rng.normal(size=3)},
    }
    params = jax.tree.map(jnp.float32, params)
    gradient = jax.tree.map(jnp.cos, params)
    plain = optax.sgd(0.1)
    rates = layer_rates.layer_rates(params, 0.5)
    scaled = optax.chain(plain, layer_rates.scale_by_rates(rates))
    before, _ = plain.update(gradient, plain.init(params))
    after, _ = scaled.update(gradient, scaled.init(params))
    wanted = {
        "tokens": {"embedding": 0.125 * before["tokens"]["embedding"]},
        "layers": jax.tree.map(lambda u: jnp.stack([0.25 * u[0], 0.5 * u[1]]), before["layers"]),
        "pooler": before["pooler"],
    }
    jax.tree.map(np.testing.assert_array_equal, after, wanted)


def test_errors():
    params = {"stem": {"bias": np.zeros(2)}, "stage_1_block_1": {"bias": np.zeros(2)}}
    assert layer_rates.layer_depths(params) == {"stem": 2, "stage_1_block_1": 1}
    with pytest.raises(ValueError, match=r"got decay 0, wanted it in \(0, 1\]; .* not trained"):
        layer_rates.layer_rates(params, 0)
    with pytest.raises(ValueError, match=r"got parts \['mixer_1'\] of an encoder, wanted those of"):
        layer_rates.layer_depths({**params, "mixer_1": {}})
    with pytest.raises(ValueError, match=r"got parts \['stem_3'\]"):
        layer_rates.layer_depths({"layers": {"bias": np.zeros((2, 3))}, "stem_3": {}})
