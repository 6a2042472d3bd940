"""Checkpoints: the same bits back on any device count, and no damaged one is ever used."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import orbax.checkpoint as ocp
import pytest
from jax.sharding import AxisType

from tvdim_jax.train import checkpoint, sharding
from tvdim_jax.train.checkpoint import CheckpointError, Checkpoints, restore_part
from tvdim_jax.train.digest import tree_digest
from tvdim_jax.train.state import new_state

# Orbax leaves reads in flight when one of them fails.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

FACTS = {"seed": 5, "data": "abc", "shape": (1, 2)}
STEPS = (1, 2, 3)


def mesh_of(num_devices):
    return jax.make_mesh(
        (num_devices,), ("data",), axis_types=(AxisType.Auto,), devices=jax.devices()[:num_devices]
    )


def state_of(step, *, num_devices=8, width=24, tx=None):
    """A state of many types, other in each step."""
    rng = np.random.default_rng(step)
    params = {
        "image": {"stem": jnp.asarray(rng.normal(size=(16, width)), jnp.float32)},
        "text": jnp.asarray(rng.normal(size=7), jnp.bfloat16),
    }
    variables = {"batch_stats": {"mean": jnp.asarray(rng.normal(size=5), jnp.float32)}}
    tx = optax.adam(0.1) if tx is None else tx
    state = new_state(params, variables, tx, jax.random.key(step))
    _, opt_state = tx.update(params, state.opt_state, params)
    state = state.replace(step=jnp.int32(step), opt_state=opt_state)
    return sharding.place(state, mesh_of(num_devices))


def target_of(state, *, num_devices=8):
    whole = sharding.replicated(mesh_of(num_devices))
    return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=whole), state)


def restore(folder, target=None, **options):
    target = target_of(state_of(1)) if target is None else target
    with Checkpoints(folder, **{"facts": FACTS, **options}) as checkpoints:
        return checkpoints.restore_latest(target)


def save(folder, *steps, keep=2, facts=FACTS, **options):
    with Checkpoints(folder, keep=keep, facts=facts) as checkpoints:
        for step in steps:
            checkpoints.save(step, state_of(step, **options))


def bits(leaf):
    is_key = jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
    return np.asarray(jax.random.key_data(leaf) if is_key else leaf)


def assert_equal(got, wanted):
    assert jax.tree.structure(got) == jax.tree.structure(wanted)
    for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(wanted), strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(bits(a), bits(b))


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A folder to copy, with steps 2 and 3 of three that were saved."""
    folder = tmp_path_factory.mktemp("saved") / "checkpoints"
    save(folder, *STEPS)
    return folder


@pytest.fixture
def folder(saved, tmp_path):
    return Path(shutil.copytree(saved, tmp_path / "checkpoints"))


def names(folder):
    return sorted(path.name for path in folder.iterdir())


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


# Damage


def flip_one_bit(rng, files):
    """Flips a bit at a uniformly drawn place of all bytes; returns where."""
    sizes = np.array([file.stat().st_size for file in files])
    place = int(rng.integers(sizes.sum()))
    index = int(np.searchsorted(np.cumsum(sizes), place, side="right"))
    at = place - int(sizes[:index].sum())
    data = bytearray(files[index].read_bytes())
    data[at] ^= 1 << int(rng.integers(8))
    files[index].write_bytes(data)
    return f"{files[index]} byte {at}"


def all_files(folder):
    """By size: Orbax draws the names."""
    files = [path for path in folder.rglob("*") if path.is_file() and path.stat().st_size]
    return sorted(files, key=lambda path: (path.stat().st_size, path))


def check_newest_or_the_one_before(folder, what):
    got = restore(folder)
    if (folder / "3.corrupt").exists():
        assert names(folder) == ["2", "3.corrupt"], what
        assert_equal(got, state_of(2))
        return "detected"
    assert names(folder) == ["2", "3"], what
    assert_equal(got, state_of(3))
    return "harmless"


@pytest.mark.parametrize("seed", range(10))
def test_flipped_bit_in_an_array_file_is_detected_or_harmless(folder, seed):
    files = all_files(folder / "3" / "state" / "d")
    what = flip_one_bit(np.random.default_rng(seed), files)
    check_newest_or_the_one_before(folder, what)


@pytest.mark.parametrize("seed", range(6))
def test_flipped_bit_in_any_file_is_detected_or_harmless(folder, seed):
    what = flip_one_bit(np.random.default_rng(100 + seed), all_files(folder / "3"))
    check_newest_or_the_one_before(folder, what)


@pytest.mark.parametrize("seed", range(4))
def test_flipped_bit_in_the_meta_item_is_detected(folder, seed):
    what = flip_one_bit(np.random.default_rng(seed), [folder / "3" / "meta" / "metadata"])
    assert check_newest_or_the_one_before(folder, what) == "detected"


def test_changed_array_in_a_sound_file_is_detected(folder):
    """What no checksum of a file format can see: other numbers, properly written."""
    other = state_of(3)
    stem = other.params["image"]["stem"].at[0, 0].multiply(-1).at[0, 1].multiply(-1)
    other = other.replace(params={**other.params, "image": {"stem": stem}})
    shutil.rmtree(folder / "3" / "state")
    with ocp.StandardCheckpointer() as checkpointer:
        checkpointer.save(folder / "3" / "state", other)
    assert check_newest_or_the_one_before(folder, "array") == "detected"


@pytest.mark.parametrize("share", [0.0, 0.5, 0.9])
def test_truncated_files_are_detected(folder, share):
    for path in all_files(folder / "3" / "state"):
        if path.parent.name == "d":
            os.truncate(path, int(path.stat().st_size * share))
    assert check_newest_or_the_one_before(folder, "truncated") == "detected"


@pytest.mark.parametrize("lost", ["state", "meta", "state/d", "state/manifest.ocdbt", "*"])
def test_deleted_files_are_detected(folder, lost):
    for path in (folder / "3").glob(lost):
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    assert check_newest_or_the_one_before(folder, lost) == "detected"


def damage(folder, *steps):
    for step in steps:
        (folder / str(step) / "meta" / "metadata").write_text("{}", encoding="utf-8")


def test_all_damaged_is_an_error_and_stays_one(folder):
    damage(folder, 2, 3)
    for _ in range(2):  # a second start must not begin anew beside the damaged ones
        with pytest.raises(CheckpointError, match=r"no checkpoint .*2\.corrupt.*3\.corrupt.*start"):
            restore(folder)
    assert names(folder) == ["2.corrupt", "3.corrupt"]


def test_run_goes_on_after_a_fall_back_and_the_step_may_be_damaged_again(folder):
    for _ in range(2):
        damage(folder, 3)
        assert_equal(restore(folder), state_of(2))
        save(folder, 3)
        assert_equal(restore(folder), state_of(3))
    assert names(folder) == ["2", "3", "3.corrupt", "3.corrupt.2"]


def test_full_memory_is_not_taken_for_damage(folder, monkeypatch):
    def full(*_, **__):
        raise MemoryError

    monkeypatch.setattr(ocp.CheckpointManager, "restore", full)
    with pytest.raises(MemoryError):
        restore(folder)
    assert names(folder) == ["2", "3"]


def test_kill_in_mid_save_leaves_the_step_before(tmp_path):
    script = f"""
import os, signal, threading
import jax.numpy as jnp
from pathlib import Path
from tvdim_jax.train.checkpoint import Checkpoints
folder = Path({str(tmp_path)!r})
def watch():
    while not list(folder.glob("2.*")):
        pass
    os.kill(os.getpid(), signal.SIGKILL)
checkpoints = Checkpoints(folder, facts={{"seed": 0}})
checkpoints.save(1, {{"w": jnp.full(4, 1.0)}})
checkpoints._manager.wait_until_finished()
threading.Thread(target=watch, daemon=True).start()
checkpoints.save(2, {{"w": jnp.full(4, 2.0), "big": jnp.ones(2**23)}})
checkpoints.close()
"""
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", script],
        check=False,
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root)},
        capture_output=True,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr[-2000:]
    left = names(tmp_path)
    assert left[0] == "1"
    assert left[1].startswith("2.")
    target = target_of({"w": jnp.zeros(4)})
    np.testing.assert_array_equal(restore_part(tmp_path, target)["w"], 1.0)
    assert names(tmp_path) == left  # a reader removes nothing
    np.testing.assert_array_equal(restore(tmp_path, target, facts={"seed": 0})["w"], 1.0)
    assert names(tmp_path) == ["1"]


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
