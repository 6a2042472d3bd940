"""The state and the optimizer that a run starts with."""

import io

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from rich.console import Console

from tests.reference.bert_vectors import (
    encoder,
    fresh_encoder,
    fresh_fusion,
    fresh_predictor,
    fusion,
    tensors,
    write_folder,
)
from tests.reference.tiny_run import CLIP, SRCL, tiny_config
from tvdim_jax.config import ConfigError, flat_fields
from tvdim_jax.experiment.model import Model, make_model
from tvdim_jax.experiment.start import init_state, optimizer_of, start_state
from tvdim_jax.train.checkpoint import Checkpoints
from tvdim_jax.train.digest import leaf_digests, tree_digest
from tvdim_jax.train.sharding import make_mesh

ATTENTION = {f"attention.attention.{each}": (32, 32) for each in ("query", "key", "value")}
DENSE = ATTENTION | {
    "attention.output.dense": (32, 32),
    "intermediate.dense": (128, 32),
    "output.dense": (32, 128),
}
VIT_TINY = {  # shapes of the tensors of a ViT of that size, as Hugging Face names them
    "embeddings.cls_token": (1, 1, 32),
    "embeddings.position_embeddings": (1, 17, 32),
    "embeddings.patch_embeddings.projection.weight": (32, 3, 8, 8),
    "embeddings.patch_embeddings.projection.bias": (32,),
    **{f"layernorm.{leaf}": (32,) for leaf in ("weight", "bias")},
    **{f"encoder.layer.{i}.{name}.weight": DENSE[name] for i in (0, 1) for name in DENSE},
    **{f"encoder.layer.{i}.{name}.bias": DENSE[name][:1] for i in (0, 1) for name in DENSE},
    **{
        f"encoder.layer.{i}.layernorm_{place}.{leaf}": (32,)
        for i in (0, 1)
        for place in ("before", "after")
        for leaf in ("weight", "bias")
    },
}
PROJECTIONS = ("image_projection", "text_projection")


def test_the_first_state_comes_from_the_seed():
    config = tiny_config(objective__text_weight=0.0)
    model = make_model(config, 0)

    def state(seed):
        config.seed = seed
        return init_state(config, model, optimizer_of(config))

    first = state(0)
    assert int(first.step) == int(first.nonfinite_steps) == 0
    assert tree_digest(state(0)) == tree_digest(first)
    other, old = leaf_digests(state(1).params), leaf_digests(first.params)
    assert any(other[path] != old[path] for path in old)


def adam_by_hand(grads, *, rate, b1, b2, eps, decay, start):
    """Parameters after Adam with L2 in the gradient, float64; rate(t) from 0."""
    x, m, v = start.astype(np.float64), np.zeros(3), np.zeros(3)
    for t, grad in enumerate(grads):
        g = grad + decay * x
        m, v = b1 * m + (1 - b1) * g, b2 * v + (1 - b2) * g * g
        x = x - rate(t) * (m / (1 - b1 ** (t + 1))) / (np.sqrt(v / (1 - b2 ** (t + 1))) + eps)
    return x


def updated(config, grads, start):
    tx = optimizer_of(config)
    params = jnp.asarray(start, jnp.float32)
    state = tx.init(params)
    for grad in grads:
        updates, state = tx.update(jnp.asarray(grad, jnp.float32), state, params)
        params = params + updates
    return params


def test_the_optimizer_has_the_values_of_the_config():
    rng = np.random.default_rng(0)
    grads, start = rng.normal(size=(6, 3)), rng.normal(size=3)
    values = {"b1": 0.7, "b2": 0.95, "eps": 0.01}
    config = tiny_config(
        optimizer__learning_rate=0.1,
        optimizer__warmup_steps=2,
        optimizer__schedule="step",
        optimizer__step_boundaries=(4,),
        optimizer__step_factor=0.5,
        optimizer__weight_decay=0.3,
        **{f"optimizer__{name}": value for name, value in values.items()},
    )
    rates = [0.05, 0.1, 0.1, 0.1, 0.05, 0.05]
    wanted = adam_by_hand(grads, rate=rates.__getitem__, decay=0.3, start=start, **values)
    np.testing.assert_allclose(updated(config, grads, start), wanted, rtol=1e-5)


def test_the_cosine_ends_with_the_run_and_the_norm_is_clipped():
    grads, start = np.full((6, 3), 10.0), np.ones(3)
    config = tiny_config(
        optimizer__learning_rate=0.1,
        optimizer__warmup_steps=0,
        optimizer__weight_decay=0.0,
        optimizer__eps=1.0,  # else Adam would undo the clipping
        optimizer__clip_norm=0.5,
    )
    wanted = adam_by_hand(
        np.full((6, 3), 0.5 / np.sqrt(3)),
        rate=lambda t: 0.1 * 0.5 * (1 + np.cos(np.pi * t / 6)),
        b1=0.8,
        b2=0.999,
        eps=1.0,
        decay=0.0,
        start=start,
    )
    np.testing.assert_allclose(updated(config, grads, start), wanted, rtol=1e-5)


def test_the_text_encoder_may_have_berts_own_optimizer():
    config = tiny_config(
        optimizer__text_learning_rate=0.01,
        optimizer__text_warmup_fraction=0.25,
        optimizer__warmup_steps=0,
        optimizer__learning_rate=0.5,
        train__num_steps=8,
    )
    tx = optimizer_of(config)
    params = {top: {"kernel": jnp.ones(3)} for top in ("image", "text", "text_head")}
    state = tx.init(params)
    gradient = {top: {"kernel": jnp.full(3, 0.1)} for top in params}
    first, state = tx.update(gradient, state, params)
    np.testing.assert_array_equal(first["text"]["kernel"], 0)  # the warm-up begins at rate 0
    second, _ = tx.update(gradient, state, params)
    # Moments without correction, (1 - 0.9^2) 0.1 and (1 - 0.999^2) 0.01; half of the rate; then
    # the decay of what the step left.
    step = 0.005 * 0.019 / (np.sqrt(1.999e-5) + 1e-6)
    wanted = -step - 0.005 * 0.1 * (1 - step)
    np.testing.assert_allclose(second["text"]["kernel"], wanted, rtol=1e-4)
    adam = optimizer_of(tiny_config(**{**_fields(config), "optimizer__text_learning_rate": 0.0}))
    alone, _ = adam.update(gradient["image"], adam.init(params["image"]), params["image"])
    np.testing.assert_array_equal(first["image"]["kernel"], alone["kernel"])
    np.testing.assert_array_equal(first["text_head"]["kernel"], alone["kernel"])


def _fields(config):
    names = ("optimizer.warmup_steps", "optimizer.learning_rate", "train.num_steps")
    flat = flat_fields(config)
    return {name.replace(".", "__"): flat[name] for name in names}


def test_groups_of_clip_have_their_rates_and_the_temperature_no_decay():
    config = tiny_config(
        **{**CLIP, "optimizer__warmup_steps": 0},
        optimizer__learning_rate=0.2,
        optimizer__image_learning_rate=0.02,
        optimizer__weight_decay=0.5,
    )
    tx = optimizer_of(config)
    ones = {"kernel": jnp.ones(2), "bias": jnp.ones(2)}
    params = {"image": ones, "text": ones, "image_projection": ones, "temperature": jnp.ones(())}
    nothing = jax.tree.map(jnp.zeros_like, params)
    updates, _ = tx.update(nothing, tx.init(params), params)  # the decay alone
    decays = {name: float(updates[name]["kernel"][0]) for name in params if name != "temperature"}
    assert decays == pytest.approx({"image": -0.01, "text": -0.1, "image_projection": -0.1})
    assert not any(np.any(updates[name]["bias"]) for name in decays)
    assert float(updates["temperature"]) == 0
    ones_everywhere = jax.tree.map(jnp.ones_like, params)
    moved, _ = tx.update(ones_everywhere, tx.init(params), params)
    assert float(moved["temperature"]) == pytest.approx(-0.2, rel=1e-4)


def test_a_bert_folder_starts_text_fusion_and_words_of_srcl(tmp_path):
    """Of its three layers the first two read and the last one fuses; the average starts there."""
    theirs = tensors("bert/param/")
    folder = write_folder(tmp_path / "bert", theirs)
    config = tiny_config(**SRCL, model__text_weights=folder, objective__distillation=0.4)
    fresh = {
        "text": fresh_encoder(encoder(depth=2, pooler=False)),
        "fusion": fresh_fusion(fusion(depth=1)),
        "word_predictor": fresh_predictor(),
        "temperature": np.float32(0.07),
        **{name: {"kernel": np.ones(3)} for name in ("image", *PROJECTIONS)},
    }
    model = Model(lambda key: (fresh, {"batch_stats": {}}), None, text=lambda: None)
    output = io.StringIO()
    with Checkpoints(tmp_path / "checkpoints") as checkpoints:
        console = Console(file=output, width=200)
        state = start_state(
            config, model, optimizer_of(config), checkpoints, mesh=make_mesh(), console=console
        )
    name = "bert.encoder.layer.{}.attention.self.query.weight"
    for trees in (state.params, state.variables["average"]):
        for part, layer in [("text", 0), ("text", 1), ("fusion", 0)]:
            kernel = trees[part]["layers"]["attention"]["query"]["kernel"][layer]
            wanted = theirs[name.format(layer + 2 * (part == "fusion"))].T
            np.testing.assert_array_equal(kernel, wanted)
        np.testing.assert_array_equal(
            trees["word_predictor"]["bias"], theirs["cls.predictions.bias"]
        )
        assert not np.any(trees["fusion"]["layers"]["cross_attention"]["query"]["kernel"])
    for part in ("text", "fusion", "word predictor"):
        assert f"{part}: loaded " in output.getvalue()
    assert "new, as initialised (not in the file): layers/cross_attention" in output.getvalue()


def test_a_vit_folder_starts_the_image_encoder(tmp_path):
    named = {name: np.ones(shape, np.float32) for name, shape in VIT_TINY.items()}
    folder = write_folder(tmp_path / "vit", named, config=False)
    config = tiny_config(
        objective__name="amdim", model__image="vit_tiny", model__image_weights=folder
    )
    model = make_model(config, 0)
    output = io.StringIO()
    with Checkpoints(tmp_path / "checkpoints") as checkpoints:
        options = {"mesh": make_mesh(), "console": Console(file=output, width=200)}
        state = start_state(config, model, optimizer_of(config), checkpoints, **options)
        assert all(np.all(np.asarray(leaf) == 1) for leaf in jax.tree.leaves(state.params))
        assert "image: loaded 38 arrays, 32,224 parameters" in output.getvalue()
        config.model.image = "vit_s16"
        with pytest.raises(ConfigError, match=r"config\.model\.image_weights: weights: "):
            start_state(config, make_model(config, 0), optimizer_of(config), checkpoints, **options)
