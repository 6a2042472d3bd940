"""The nets beside the encoders: their parameters and what the functions compute."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.reference.tiny_run import CLIP, SRCL, tiny_config
from tvdim_jax.experiment.model import make_model
from tvdim_jax.experiment.pair_nets import init_pair_nets, make_pair_nets, pair_functions


def test_projections_are_linear_and_the_temperature_starts_as_told():
    config = tiny_config(**CLIP, objective__temperature=0.2)
    nets = make_pair_nets(config, 11)
    params = init_pair_nets(
        config, nets, jax.random.key(0), image_width=5, text_width=7, vocab_size=11
    )
    assert set(params) == {"image_projection", "text_projection", "temperature"}
    assert float(params["temperature"]) == np.float32(0.2)
    functions = pair_functions(nets)
    for side, width in (("image", 5), ("text", 7)):
        dense = params[f"{side}_projection"]["dense"]
        assert dense["kernel"].shape == (width, 8)
        vectors = np.random.default_rng(0).normal(size=(4, width)).astype(np.float32)
        got = functions[f"project_{side}"](params, jnp.asarray(vectors))
        wanted = vectors @ np.asarray(dense["kernel"]) + np.asarray(dense["bias"])
        np.testing.assert_allclose(got, wanted, atol=1e-5)


@pytest.mark.parametrize(
    ("objective", "dropping"),
    [
        ("srcl", {"fusion"}),
        ("vqa", {"fusion", "decoder"}),
        ("nlvr", {"pair_fusion"}),
        ("nlvr_assignment", {"pair_fusion"}),
    ],
)
def test_every_net_with_dropout_has_that_of_the_config(objective, dropping):
    config = tiny_config(**SRCL, model__dropout=0.3)
    config.objective.name = objective
    nets = make_pair_nets(config, 9)
    rates = {name: net.dropout for name, net in nets.items() if hasattr(net, "dropout")}
    assert rates == dict.fromkeys(dropping, 0.3)


def test_the_base_size_has_the_parameters_of_albef():
    """ViT-B/16 at 256 pixels, BERT-base as text encoder, fusion and word predictor, and heads."""
    config = tiny_config(
        **SRCL
        | {
            "model__image": "vit_b16",
            "model__image_size": 256,
            "model__text": "bert_base_6",
            "model__fusion": "fusion_base",
            "model__embedding_width": 256,
            "tokenizer__max_length": 512,
        }
    )
    model = make_model(config, 30_522)
    params, variables = jax.eval_shape(model.init, jax.random.key(0))
    counts = {name: sum(leaf.size for leaf in jax.tree.leaves(params[name])) for name in params}
    assert variables == {"batch_stats": {}}
    assert counts["image"] == 85_844_736
    assert counts["text"] + counts["fusion"] == 123_075_072
    assert counts["text"] + counts["fusion"] + counts["word_predictor"] == 123_697_722
    assert counts["image_projection"] + counts["text_projection"] == 393_728
    assert counts["matching_head"] == 1_538
    assert counts["temperature"] == 1
    assert sum(counts.values()) == 209_937_725


def test_fusion_and_heads_of_a_tiny_model():
    """Shapes, a key that matters in training only, and words tied to the text's embedding."""
    config = tiny_config(**SRCL)
    nets = make_pair_nets(config, 11)
    params = init_pair_nets(
        config, nets, jax.random.key(0), image_width=5, text_width=6, vocab_size=11
    )
    params["text"] = {"tokens": {"embedding": jnp.eye(11, 6)}}
    functions = pair_functions(nets)
    rng = np.random.default_rng(0)
    tokens, images = (
        jnp.asarray(rng.normal(size=size), jnp.float32) for size in ((2, 4, 6), (2, 3, 5))
    )

    @partial(jax.jit, static_argnames="train")
    def fuse(key, *, train):
        valid = jnp.ones((2, 4), bool)
        return functions["fusion"](params, tokens, valid, images, train=train, key=key)

    one, two = (fuse(jax.random.key(seed), train=True) for seed in (0, 1))
    still = fuse(None, train=False)
    assert np.abs(one.global_features - two.global_features).max() > 1e-3
    assert still.global_features.shape == (2, 6)
    assert functions["matching"](params, still.global_features).shape == (2, 2)
    logits = functions["words"](params, still.local_features["tokens"])
    assert logits.shape == (2, 4, 11)
    np.testing.assert_allclose(logits[..., 6:], 0, atol=1e-6)  # words without an embedding
