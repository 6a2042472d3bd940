"""No damaged checkpoint is ever used, whatever happened to its files."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
import pytest

from tests.reference.checkpoints import (
    assert_equal,
    damage,
    names,
    restore,
    save,
    state_of,
    target_of,
)
from tvdim_jax.train.checkpoint import CheckpointError, restore_part

# Orbax leaves reads in flight when one of them fails.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


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
