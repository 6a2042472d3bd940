"""Checkpoints: the same bits back on any device count, and none of another run."""

import shutil

import jax
import jax.numpy as jnp
import optax
import orbax.checkpoint as ocp
import pytest

from tests.reference.checkpoints import (
    FACTS,
    assert_equal,
    damage,
    names,
    restore,
    save,
    state_of,
    target_of,
)
from tvdim_jax.train import checkpoint
from tvdim_jax.train.checkpoint import CheckpointError, Checkpoints, restore_part
from tvdim_jax.train.digest import tree_digest


@pytest.mark.parametrize(("before", "after"), [(8, 1), (1, 8), (8, 8), (2, 4)])
def test_restored_bits_are_those_saved_on_any_device_count(tmp_path, before, after):
    state = state_of(4, num_devices=before)
    save(tmp_path, 4, num_devices=before)
    got = restore(tmp_path, target_of(state, num_devices=after))
    assert_equal(got, state)
    assert tree_digest(got) == tree_digest(state)
    assert got.params["image"]["stem"].sharding.device_set == set(jax.devices()[:after])
    assert jnp.issubdtype(got.root_key.dtype, jax.dtypes.prng_key)


def test_newest_are_kept_and_the_newest_is_restored(folder):
    assert names(folder) == ["2", "3"]
    assert_equal(restore(folder), state_of(3))


@pytest.mark.parametrize("keep", [1, 3])
def test_keep_counts_checkpoints(tmp_path, keep):
    save(tmp_path, 1, 2, 3, 4, keep=keep)
    assert names(tmp_path) == [str(step) for step in range(5 - keep, 5)]


def test_nothing_to_restore_is_none(tmp_path):
    assert restore(tmp_path / "none") is None
    assert restore(tmp_path / "none") is None


def test_saved_state_is_that_of_the_call_though_its_buffers_are_donated(tmp_path):
    state = state_of(1)
    forget = jax.jit(lambda tree: jax.tree.map(lambda x: x + 1, tree), donate_argnums=0)
    with Checkpoints(tmp_path, facts=FACTS) as checkpoints:
        checkpoints.save(1, state)
        forget(state.replace(root_key=None))
    assert_equal(restore(tmp_path), state_of(1))


def test_step_saved_already_is_left_alone(folder):
    with Checkpoints(folder, facts=FACTS) as checkpoints:
        checkpoints.save(3, state_of(1))
    assert_equal(restore(folder), state_of(3))


def test_step_before_the_newest_is_an_error_and_not_silently_skipped(folder):
    with (
        Checkpoints(folder, facts=FACTS) as checkpoints,
        pytest.raises(CheckpointError, match=r"step 1 was not saved: .* has step 3; restore"),
    ):
        checkpoints.save(1, state_of(1))


def test_run_that_nobody_stops_is_not_preempted(folder):
    with Checkpoints(folder, facts=FACTS) as checkpoints:
        assert checkpoints.preempted(3) is False


# Another run


@pytest.mark.parametrize(
    ("facts", "text"),
    [
        ({**FACTS, "seed": 6}, "checkpoint 3 was trained with seed 5, this run has 6; use another"),
        ({**FACTS, "data": "x"}, "with data 'abc', this run has 'x'; .* or the same data"),
        ({**FACTS, "new": 1}, "with new None, this run has 1"),
    ],
)
def test_other_seed_or_data_is_an_error_that_names_both(folder, facts, text):
    with pytest.raises(CheckpointError, match=text):
        restore(folder, facts=facts)
    assert names(folder) == ["2", "3"]


def without_text(state):
    return state.replace(params={"image": state.params["image"]})


def as_float16(state):
    text = jax.ShapeDtypeStruct((7,), jnp.float16, sharding=state.params["text"].sharding)
    return state.replace(params={**state.params, "text": text})


@pytest.mark.parametrize(
    ("target", "text"),
    [
        (
            target_of(state_of(1, width=25)),
            r"another model: params/image/stem is float32\[16, 24\], .* has float32\[16, 25\]; use",
        ),
        (
            without_text(target_of(state_of(1))),
            r"params/text is bfloat16\[7\], this run has absent",
        ),
        (as_float16(target_of(state_of(1))), r"params/text is bfloat16\[7\], .* has float16\[7\]"),
        (
            target_of(state_of(1, tx=optax.adagrad(0.1))),
            r"opt_state/0/sum_of_squares/image/stem is absent, this run has float32\[16, 24\]",
        ),
    ],
    ids=["shape", "fewer", "dtype", "optimizer"],
)
def test_other_model_is_an_error_that_names_the_leaf(folder, target, text):
    with pytest.raises(CheckpointError, match=text):
        restore(folder, target)
    assert names(folder) == ["2", "3"]


def test_other_schema_is_an_error(folder, monkeypatch):
    monkeypatch.setattr(checkpoint, "SCHEMA", 7)
    with pytest.raises(CheckpointError, match="has schema 1, this version reads 7; go on with"):
        restore(folder)


# A part of the state


def part_of(state, num_devices=1):
    return target_of({"params": state.params, "step": state.step}, num_devices=num_devices)


def test_part_is_restored_without_optimizer(folder):
    got = restore_part(folder, part_of(state_of(1)))
    assert_equal(got, {"params": state_of(3).params, "step": state_of(3).step})
    assert got["params"]["text"].sharding.device_set == {jax.devices()[0]}


def test_damaged_part_is_read_from_the_step_before_and_nothing_is_renamed(folder):
    damage(folder, 3)
    got = restore_part(folder, part_of(state_of(1)))
    assert_equal(got["params"], state_of(2).params)
    damage(folder, 2)
    with pytest.raises(CheckpointError, match=r"none of the checkpoints \[2, 3\] .* is intact"):
        restore_part(folder, part_of(state_of(1)))
    assert names(folder) == ["2", "3"]


def test_part_with_changed_numbers_is_not_used(folder):
    other = state_of(3)
    other = other.replace(params={**other.params, "text": -other.params["text"]})
    shutil.rmtree(folder / "3" / "state")
    with ocp.StandardCheckpointer() as checkpointer:
        checkpointer.save(folder / "3" / "state", other)
    assert_equal(restore_part(folder, part_of(state_of(1)))["params"], state_of(2).params)


def test_part_of_another_model_is_an_error(folder):
    with pytest.raises(CheckpointError, match=r"params/image/stem is float32\[16, 24\], this run"):
        restore_part(folder, part_of(state_of(1, width=23)))


def test_part_of_nothing_is_an_error(tmp_path):
    for folder in (tmp_path, tmp_path / "none"):
        with pytest.raises(CheckpointError, match=r"no checkpoint in .*; train first, or name"):
            restore_part(folder, part_of(state_of(1)))
