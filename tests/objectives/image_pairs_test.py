"""Sentences about two images by linear nets, against loops; what is drawn for text assignment."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType

from tests.reference.linear_pairs import WIDTH, inputs, make_apply
from tests.reference.losses import quick_jit
from tvdim_jax.features import Features
from tvdim_jax.objectives.image_pairs import (
    make_assignment_objective,
    pair_logits,
    pair_objective,
)

KEY = jax.random.key(4)
NUM = 8


def pair_fusion(params, tokens, token_valid, images, *, train, key):
    left, right = (jnp.mean(images[:, side], axis=1, keepdims=True) for side in (0, 1))
    seen = jnp.tanh(tokens + left @ params["left"] + right @ params["right"])
    return Features(jnp.sum(seen * token_valid[:, :, None], axis=1), {"tokens": seen})


APPLY = make_apply(
    pair_fusion=pair_fusion,
    pair_head=lambda params, x: x @ params["matching"],
    assignment_head=lambda params, x: x @ params["assignment"],
)


def case(num=NUM):
    params, _, batch = inputs(num)
    rng = np.random.default_rng(5)
    shapes = {"left": (WIDTH, WIDTH), "right": (WIDTH, WIDTH), "assignment": (WIDTH, 3)}
    params |= {name: rng.normal(size=shape) for name, shape in shapes.items()}
    label = rng.integers(0, 2, num).astype(np.int32)
    other = rng.normal(size=batch["view"].shape).astype(np.float32)
    params = jax.tree.map(lambda leaf: np.asarray(leaf, np.float32), params)
    return params, batch | {"label": label, "views": (batch["view"], other)}


def run(objective, params, batch, apply=APPLY, key=KEY):
    loss_of = partial(objective, apply=apply, key=key, step=0)
    return quick_jit(jax.value_and_grad(loss_of, has_aux=True))(params, {}, batch)


def seen_by(params, image):
    """Mean of an image's tokens, the whole and its places, as the fusion reads them."""
    places = (image @ params["pixels"]).reshape(-1, WIDTH)
    return np.mean([places.mean(axis=0), *places], axis=0)


def fused_by_hand(params, batch, row, left, right):
    tokens = params["tokens"][batch["token_ids"][row]]
    tokens = tokens * batch["token_valid"][row][:, None]
    seen = seen_by(params, left) @ params["left"] + seen_by(params, right) @ params["right"]
    return np.sum(np.tanh(tokens + seen) * batch["token_valid"][row][:, None], axis=0)


def cross_entropy(logits, label):
    logits = np.asarray(logits, np.float64)
    return np.log(np.exp(logits).sum()) - logits[label]


def test_the_loss_equals_a_loop():
    params, batch = case()
    batch["where"] = np.arange(NUM) != 2
    (loss, (metrics, _)), _ = run(pair_objective, params, batch)
    losses, right = [], []
    for row in range(NUM):
        views = (batch["views"][side][row] for side in (0, 1))
        logits = fused_by_hand(params, batch, row, *views) @ params["matching"]
        if batch["where"][row]:
            losses.append(cross_entropy(logits, batch["label"][row]))
            right.append(np.argmax(logits) == batch["label"][row])
    np.testing.assert_allclose(loss, np.mean(losses), rtol=1e-4)
    np.testing.assert_allclose(metrics["train/pair_loss"], loss)
    np.testing.assert_allclose(metrics["train/pair_accuracy"], np.mean(right), rtol=1e-6)
    logits, _ = pair_logits(params, {}, batch, apply=APPLY, train=False, key=KEY)
    accuracy = np.mean((np.argmax(logits, 1) == batch["label"])[batch["where"]])
    np.testing.assert_allclose(accuracy, np.mean(right))


def assign(batch, params, key=KEY, **options):
    """Loss, metrics and the images that the fusion saw `[B, 2]`, by their numbers; -1 = its own."""
    kept = []

    def keep(params, tokens, token_valid, images, **more):
        kept.append(images)
        return pair_fusion(params, tokens, token_valid, images, **more)

    apply = make_apply(**vars(APPLY) | {"pair_fusion": keep})
    objective = make_assignment_objective(**{"group_size": 4} | options)

    def run_once(params, batch):
        kept.clear()
        return objective(params, {}, batch, apply=apply, key=key, step=0), kept[0]

    ((loss, (metrics, _)), images) = quick_jit(run_once)(params, batch)
    of = np.stack([seen_by(params, image) for image in batch["view"]])
    distance = np.abs(np.mean(np.asarray(images), axis=2)[:, :, None] - of).max(axis=-1)
    assert distance.min(axis=-1).max() < 1e-4
    return float(loss), metrics, distance.argmin(axis=-1)


def test_assignment_draws_within_groups_and_its_loss_is_that_of_what_it_drew():
    params, batch = case()
    batch["image_id"] = np.array([0, 0, 1, 2, 3, 4, 5, 6], np.int32)
    batch["where"] = np.arange(NUM) != 7
    own, kinds = np.arange(NUM), set()
    for seed in range(4):
        loss, metrics, seen = assign(batch, params, jax.random.key(seed))
        left, right = (seen == own[:, None]).T
        label = np.where(left, 0, np.where(right, 1, 2))
        kinds |= set(label[:7].tolist())
        assert np.all(seen // 4 == own[:, None] // 4)
        assert np.all(seen[:, 0] != seen[:, 1])
        assert not np.any(seen[:7] == 7)  # not real
        assert seen[0].tolist().count(1) == seen[1].tolist().count(0) == 0  # the same image
        losses, hits = [], []
        for row in range(7):
            views = (batch["view"][number] for number in seen[row])
            logits = fused_by_hand(params, batch, row, *views) @ params["assignment"]
            losses.append(cross_entropy(logits, label[row]))
            hits.append(np.argmax(logits) == label[row])
        np.testing.assert_allclose(loss, np.mean(losses), rtol=1e-4)
        np.testing.assert_allclose(metrics["train/assignment_accuracy"], np.mean(hits), rtol=1e-6)
    assert kinds == {0, 1, 2}


def test_one_time_in_three_it_is_neither():
    params, batch = case(240)
    _, _, seen = assign(batch, params, group_size=60)
    left, right = (seen == np.arange(240)[:, None]).T
    for share in (left, right, ~left & ~right):
        assert 1 / 3 - 0.1 < np.mean(share) < 1 / 3 + 0.1
    _, _, never = assign(batch, params, group_size=60, neither_rate=0.0)
    assert np.all(np.any(never == np.arange(240)[:, None], axis=1))


def test_too_few_wrong_images():
    params, batch = case(4)
    batch["image_id"] = np.array([0, 0, 0, 1], np.int32)
    _, _, seen = assign(batch, params, neither_rate=1.0)
    assert all(set(seen[row]) == {row, 3} for row in range(3))  # one wrong image: never neither
    batch["image_id"][:] = 0
    (nothing, _), gradient = run(make_assignment_objective(), params, batch)
    assert float(nothing) == 0
    assert not any(np.any(leaf) for leaf in jax.tree.leaves(gradient))


def test_similar_images_are_drawn_more_often():
    params, batch = case(NUM)
    batch["view"][1::2] = batch["view"][::2] + 0.01  # rows 2 k and 2 k + 1 look alike
    draws = [assign(batch, params, jax.random.key(k), group_size=8, neither_rate=0.0)[2]
             for k in range(3)]  # fmt: skip
    other = np.where(draws == np.arange(NUM)[:, None], -1, draws).max(axis=-1)
    assert np.mean(other == (np.arange(NUM) ^ 1)) > 0.5  # 1/7 by chance


def test_eight_devices_give_the_loss_and_draws_of_one():
    params, batch = case(16)
    mesh = jax.make_mesh((8,), ("data",), axis_types=(AxisType.Auto,))
    split = jax.device_put(batch, jax.NamedSharding(mesh, jax.P("data")))
    for objective in (pair_objective, make_assignment_objective(group_size=4)):
        (one, _), gradient = run(objective, params, batch)
        (eight, _), others = run(objective, params, split)
        np.testing.assert_allclose(eight, one, rtol=1e-6)
        close = partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-5)
        jax.tree.map(close, others, gradient)


def test_options_out_of_range_say_so():
    with pytest.raises(ValueError, match=r"neither_rate: got 1.5, wanted 0\.\.1"):
        make_assignment_objective(neither_rate=1.5)
    params, batch = case(6)
    with pytest.raises(ValueError, match="group_size: got 4 for a batch of 6, wanted"):
        run(make_assignment_objective(group_size=4), params, batch)
