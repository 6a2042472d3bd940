"""SRCL by its parts, what it keeps, what it refuses, one device against eight."""

import re
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType

from tests.reference.linear_pairs import (
    EMBEDDING,
    TEACHER_WIDTH,
    VOCABULARY,
    inputs,
    make_apply,
)
from tests.reference.losses import quick_jit
from tvdim_jax.objectives import make_srcl_objective
from tvdim_jax.objectives.momentum import empty_queue

KEY = jax.random.key(5)
APPLY = make_apply()
empty = partial(empty_queue, 16, EMBEDDING)


def make(**options):
    given = {"vocab_size": VOCABULARY, "mask_id": 1, "matching_group": 2}
    return make_srcl_objective(**given | options)


def run(objective, params, variables, batch, apply=APPLY):
    """`(loss, (metrics, variables)), gradient`."""
    loss_of = jax.value_and_grad(partial(objective, apply=apply, key=KEY, step=0), has_aux=True)
    return quick_jit(loss_of)(params, variables, batch)


def run_changed(objective, changes=(), more=(), *, apply=APPLY, num=6):
    """The same with these changes of the batch, and more variables."""
    params, variables, batch = inputs(num)
    return run(objective, params, variables | dict(more), batch | dict(changes), apply)


def refuse(*arguments):
    raise AssertionError("the teacher was asked")


def test_terms_alone_add_up_to_the_total():
    names = ("contrast", "matching", "word")
    parts, apply = [], make_apply(teacher=refuse)
    for name in names:
        others = {f"{each}_weight": 0.0 for each in names if each != name}
        parts.append(run_changed(make(**others), apply=apply))
        (loss, (metrics, _)), _ = parts[-1]
        np.testing.assert_allclose(loss, metrics[f"train/{name}_loss"])
        assert not any(f"train/{each}_loss" in metrics for each in names if each != name)
    weights = {"contrast_weight": 2.0, "matching_weight": 0.5}
    (total, (metrics, _)), gradient = run_changed(make(**weights))
    expected = [2.0, 0.5, 1.0] @ np.array([loss for (loss, _), _ in parts])
    np.testing.assert_allclose(total, expected, rtol=1e-6)
    for name, got in gradient.items():
        by_part = sum(w * part[1][name] for w, part in zip((2.0, 0.5, 1.0), parts, strict=True))
        np.testing.assert_allclose(got, by_part, rtol=1e-4, atol=1e-6, err_msg=name)
    assert all(value.dtype == jnp.float32 and value.shape == () for value in metrics.values())


def test_the_teacher_is_asked_by_the_contrast_alone():
    refusing = make_apply(teacher=refuse)
    run_changed(make(teacher_share=0.5, contrast_weight=0.0), apply=refusing)
    with pytest.raises(AssertionError, match="the teacher was asked"):
        run_changed(make(teacher_share=0.5), apply=refusing)


def test_only_what_learns_is_in_training_mode():
    calls = []

    def spied(name):
        function = getattr(APPLY, name)

        def call(*arguments, train, key):
            calls.append((name, train))
            return function(*arguments, train=train, key=key)

        return call

    params, variables, batch = inputs()
    average = {"average": jax.tree.map(jnp.copy, params)}
    apply = make_apply(**{name: spied(name) for name in ("image", "text", "fusion")})
    objective = partial(make(distillation=0.4), apply=apply, key=KEY, step=0)
    jax.eval_shape(objective, params, variables | average, batch)
    assert calls == [
        *(("image", True), ("text", True)),  # the model
        *(("image", False), ("text", False)),  # the momentum encoders
        ("fusion", True),  # matching
        *(("text", True), ("fusion", True)),  # hidden words
        *(("text", False), ("fusion", False)),  # by the momentum encoders
    ]


def test_without_contrast_similarities_choose_no_negatives():
    """Else matching learns to spot the chosen pairs: they alone are alike to an untrained net."""
    params, variables, batch = inputs(6)
    turned = {**params, "image_projection": -params["image_projection"]}

    def matching_loss(params, contrast_weight):
        objective = make(matching_group=6, word_weight=0.0, contrast_weight=contrast_weight)
        (_, (metrics, _)), _ = run(objective, params, variables, batch)
        return float(metrics["train/matching_loss"])

    assert matching_loss(params, 1.0) != matching_loss(turned, 1.0)
    assert matching_loss(params, 0.0) == matching_loss(turned, 0.0)


def test_a_teacher_without_a_share_does_not_run():
    broken = {"teacher": jax.tree.map(lambda leaf: leaf * np.nan, inputs()[1]["teacher"])}
    params, _, batch = inputs()
    objective = make(teacher_share=1.0, teacher_steps=10)
    loss_of = quick_jit(partial(objective, apply=APPLY, key=KEY))
    assert np.isnan(loss_of(params, broken, batch, step=np.int32(9))[0])
    assert np.isfinite(loss_of(params, broken, batch, step=np.int32(10))[0])


def test_the_queue_fills_and_then_gives_way():
    params, variables, batch = inputs(8)
    objective = make(teacher_share=0.5, word_weight=0.0)
    variables |= {"queue": empty(TEACHER_WIDTH)}
    loss_of = quick_jit(partial(objective, apply=APPLY, key=KEY, step=0))
    losses = []
    for turn in range(3):
        again = {"image_id": batch["image_id"] + 50 * turn, "text_id": batch["text_id"] + 50 * turn}
        loss, (_, variables) = loss_of(params, variables, batch | again)
        losses.append(float(loss))
    assert losses[0] < losses[1] < losses[2]  # ever more candidates
    queue = variables["queue"]
    assert int(queue["next"]) == 8
    assert queue["image"]["group_id"][:, 0].tolist() == [*range(100, 108), *range(50, 58)]
    first, second = np.split(np.asarray(queue["text"]["embedding"]), 2)
    np.testing.assert_array_equal(first, second)
    np.testing.assert_allclose(np.linalg.norm(queue["text"]["teacher"], axis=1), 1, rtol=1e-5)


def test_what_the_queue_shares_an_id_with_is_no_negative():
    queue = {"queue": empty()}
    objective = make(matching_weight=0.0, word_weight=0.0, norm="softmax", delta=5.0)
    (first, (_, variables)), _ = run_changed(objective, more=queue, num=8)
    (again, _), _ = run_changed(objective, more={"queue": variables["queue"]}, num=8)
    # The batch meets itself: only its own pairs are left out, the others count twice.
    assert float(again) > float(first)
    same = {"image_id": np.zeros(8, np.int32)}
    (alone, _), _ = run_changed(objective, same, {"queue": variables["queue"]}, num=8)
    assert float(alone) > 0  # the queue has other images
    entry = variables["queue"]["image"]["group_id"].at[:, 0].set(0)
    for name in ("image", "text"):
        variables["queue"][name]["group_id"] = entry
    (nothing, _), gradient = run_changed(objective, same, {"queue": variables["queue"]}, num=8)
    assert float(nothing) == 0
    assert not any(np.any(leaf) for leaf in jax.tree.leaves(gradient))


def test_no_candidate_and_no_hidden_word_leave_finite_terms():
    same = {"image_id": np.zeros(6, np.int32)}
    (loss, (metrics, _)), gradient = run_changed(make(mask_rate=0.0), same)
    assert float(metrics["train/word_loss"]) == 0
    assert float(metrics["train/contrast_loss"]) == 0
    assert float(metrics["train/matching_loss"]) > 0  # the pairs themselves
    np.testing.assert_allclose(loss, metrics["train/matching_loss"])
    assert all(np.all(np.isfinite(leaf)) for leaf in jax.tree.leaves(gradient))
    unreal = {"where": np.zeros(6, bool)}
    (nothing, _), gradient = run_changed(make(), unreal)
    assert float(nothing) == 0
    assert not any(np.any(leaf) for leaf in jax.tree.leaves(gradient))


def test_an_unreal_row_has_no_say():
    where = {"where": np.arange(6) != 2}
    (plain, _), _ = run_changed(make(), where)
    view = inputs()[2]["view"].copy()
    view[2] = 50.0
    (changed, _), _ = run_changed(make(), where | {"view": view})
    np.testing.assert_allclose(changed, plain, rtol=1e-6)


def test_distillation_rises_with_the_step():
    params, _, batch = inputs()
    variables = {"average": jax.tree.map(lambda leaf: 0.5 * leaf, params)}
    objective = make(distillation=0.4, distillation_steps=10, matching_weight=0.0)
    loss_of = quick_jit(partial(objective, apply=APPLY, key=KEY))
    for step, share in [(0, 0.0), (5, 0.2), (10, 0.4), (30, 0.4)]:
        loss, (metrics, _) = loss_of(params, variables, batch, step=np.int32(step))
        hard, soft = (
            sum(float(metrics[f"train/{name}{kind}_loss"]) for name in ("contrast", "word"))
            for kind in ("", "_distillation")
        )
        np.testing.assert_allclose(loss, (1 - share) * hard + share * soft, rtol=1e-5)


def test_eight_devices_give_the_losses_and_draws_of_one():
    params, variables, batch = inputs(16)
    batch |= {"text_id": batch["text_id"] // 2, "where": np.arange(16) != 3}
    queue = empty(TEACHER_WIDTH)
    rng = np.random.default_rng(7)
    for side, word in [(queue[s], w) for s in ("image", "text") for w in ("embedding", "teacher")]:
        side[word] = jnp.asarray(rng.uniform(-0.5, 0.5, side[word].shape), jnp.float32)
        side["where"] = jnp.arange(16) % 5 > 0
        side["group_id"] = jnp.arange(32).reshape(16, 2)
    variables |= {"queue": queue, "average": jax.tree.map(lambda leaf: 0.9 * leaf, params)}
    mesh = jax.make_mesh((8,), ("data",), axis_types=(AxisType.Auto,))

    def run_on(mesh, batch):
        options = {"teacher_share": 0.5, "matching_group": 4, "distillation": 0.3, "mask_rate": 0.5}
        objective = make(norm="softmax", delta=5.0, mesh=mesh, **options)
        return run(objective, params, variables, batch, apply=APPLY)

    (value, (metrics, moved)), gradient = run_on(
        mesh, jax.device_put(batch, jax.NamedSharding(mesh, jax.P("data")))
    )
    (expected_value, (expected_metrics, expected_moved)), expected_gradient = run_on(None, batch)
    np.testing.assert_allclose(value, expected_value, rtol=1e-6)
    for name, expected in expected_metrics.items():
        np.testing.assert_allclose(metrics[name], expected, rtol=1e-5, atol=1e-6, err_msg=name)
    for name, expected in expected_gradient.items():
        np.testing.assert_allclose(gradient[name], expected, rtol=1e-4, atol=1e-5, err_msg=name)
    close = partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-6)
    jax.tree.map(close, moved, expected_moved)


def test_eight_devices_keep_the_tokens_to_themselves():
    mesh = jax.make_mesh((8,), ("data",), axis_types=(AxisType.Auto,))
    params, variables, batch = inputs(16)
    everywhere, split = jax.NamedSharding(mesh, jax.P()), jax.NamedSharding(mesh, jax.P("data"))
    objective = make(matching_group=2, mesh=mesh)
    differentiated = jax.value_and_grad(
        partial(objective, apply=APPLY, key=KEY, step=0), has_aux=True
    )
    compiled = quick_jit(
        differentiated, in_shardings=(everywhere, everywhere, split), out_shardings=everywhere
    )
    program = compiled.lower(params, variables, batch).compile().as_text()
    assert re.search(r"collective-permute(-start)?\(", program)
    assert not re.findall(r".*\s(?:all-gather|all-to-all)(?:-start)?\(.*", program)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"contrast_weight": -1.0}, "weights: got .*-1.0.*, wanted all at least 0"),
        (
            {"contrast_weight": 0.0, "matching_weight": 0.0, "word_weight": 0.0},
            "wanted all at least 0 and one above 0",
        ),
        ({"average_decay": 1.0}, "average_decay: got 1.0, wanted 0 or more and less than 1"),
        ({"distillation": 1.5}, r"distillation: got 1.5 after 0 steps, wanted 0\.\.1"),
        ({"pair_loss": "ranking"}, "pair_loss: got 'ranking'"),
    ],
)
def test_options_out_of_range_say_so(options, message):
    with pytest.raises(ValueError, match=message):
        make(**options)


@pytest.mark.parametrize(
    ("options", "more", "message"),
    [
        ({"distillation": 0.4}, {}, "with distillation 0.4, wanted 'average' among them"),
        ({"teacher_share": 1.0}, {"queue": empty()}, "wanted it with 'teacher' for a teach"),
        ({}, {"queue": empty(3)}, "wanted it without 'teacher' for a teacher_share of 0.0"),
        ({"matching_group": 4}, {}, "group_size: got 4 for a batch of 6, wanted at least 1 and a"),
        ({"mask_id": 13}, {}, "mask_id: got 13, wanted one of the 13 ids of the vocabulary"),
    ],
)
def test_what_does_not_fit_says_so(options, more, message):
    with pytest.raises(ValueError, match=message):
        run_changed(make(**options), more=more)
