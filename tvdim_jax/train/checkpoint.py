"""Orbax checkpoints of the whole state: atomic, verified by digest, restored on any device count.

Each checkpoint holds two items: `state`, and `meta` with the seed, the hash of the data and the
shape, type and digest of every leaf, itself under a digest. A checkpoint that is not what was
saved is set aside under a new name, never deleted, and the one before it is used.
"""

import hashlib
import json
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
from absl import logging
from jax.experimental import multihost_utils

from tvdim_jax.train.digest import leaf_digests, named_leaves

SCHEMA = 1  # of the checkpoint; a reader of another schema says so instead of guessing

# Out of memory or not allowed to read: the checkpoint may be in order, so it is left alone.
_NOT_DAMAGE = (MemoryError, PermissionError, jax.errors.JaxRuntimeError)


class CheckpointError(ValueError):
    """A checkpoint that cannot be used; its text is one line: what, got, wanted, next step."""


class Checkpoints:
    """The checkpoints of one run folder. Close it, or use it in a `with` block.

    Only the run that trains may open it: it removes what a killed save left behind.

    Args:
      folder: `<workdir>/checkpoints`; made if it is not there.
      keep: how many of the newest to keep.
      facts: what must be equal when a run goes on, such as `{"seed": 0, "data": hash}`.
    """

    def __init__(
        self, folder: Path, *, keep: int = 2, facts: Mapping[str, Any] | None = None
    ) -> None:
        self._folder = Path(folder).absolute()
        self._facts = json.loads(json.dumps(dict(facts or {})))  # as they read back
        self._keep = keep
        self._manager = self._open()

    def __enter__(self) -> "Checkpoints":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Waits for the last save; raises the error that it met, if any."""
        try:
            self._manager.wait_until_finished()
        finally:
            self._manager.close()

    def save(self, step: int, state: Any) -> None:
        """Saves `state` as `step`, in the background; a step already saved is left alone.

        Raises:
          CheckpointError: there is a later checkpoint, so this one would not be the newest.
          The error of an earlier save that failed in the background.
        """
        self._manager.check_for_errors()
        if step in self._manager.all_steps():
            return
        digests = leaf_digests(state)
        leaves = {
            path: {**leaf, "digest": digests[path]} for path, leaf in _describe(state).items()
        }
        meta = {"schema": SCHEMA, "facts": self._facts, "leaves": leaves}
        saved = self._manager.save(
            step,
            args=ocp.args.Composite(
                state=ocp.args.StandardSave(state),
                meta=ocp.args.JsonSave({**meta, "digest": _text_digest(meta)}),
            ),
        )
        if not saved:
            raise CheckpointError(
                f"step {step} was not saved: {self._folder} has step {self._manager.latest_step()};"
                " restore the newest checkpoint, or start in another workdir"
            )

    def preempted(self, step: int) -> bool:
        """Whether the processes of a multi-process run were told to stop and agree on `step`."""
        return self._manager.reached_preemption(step)

    def restore_latest(self, target: Any) -> Any | None:
        """The newest state whose digests hold, or None where no checkpoint was ever made.

        Args:
          target: tree of `jax.ShapeDtypeStruct` with the shardings to restore to.

        Raises:
          CheckpointError: the checkpoint is of another model, seed or data, or none is intact.
        """
        for step in sorted(self._manager.all_steps(), reverse=True):
            path = self._folder / str(step)
            meta = _read_meta(path)
            state = None
            if _everywhere(meta is not None) and meta is not None:
                self._check_facts(step, meta["facts"])
                _check_leaves(path, meta["leaves"], target, part=False)
                state = _intact(partial(self._read, step, target), path, meta["leaves"])
            if _everywhere(state is not None):
                return state
            self._set_aside(step)
        damaged = sorted(path.name for path in self._folder.glob("*.corrupt*"))
        if damaged:
            raise CheckpointError(
                f"no checkpoint in {self._folder} is intact, those that were not are now "
                f"{damaged}; start again in another workdir, or without these folders"
            )
        return None

    def _check_facts(self, step: int, saved: Mapping[str, Any]) -> None:
        for name, wanted in self._facts.items():
            if saved.get(name) != wanted:
                raise CheckpointError(
                    f"checkpoint {step} was trained with {name} {saved.get(name)!r}, this run has "
                    f"{wanted!r}; use another workdir or the same {name}"
                )

    def _read(self, step: int, target: Any) -> Any:
        args = ocp.args.Composite(state=ocp.args.StandardRestore(target))
        return self._manager.restore(step, args=args)["state"]

    def _set_aside(self, step: int) -> None:
        self._manager.close()
        if jax.process_index() == 0:
            taken = len(list(self._folder.glob(f"{step}.corrupt*")))
            suffix = f".{taken + 1}" if taken else ""
            (self._folder / str(step)).rename(self._folder / f"{step}.corrupt{suffix}")
        multihost_utils.sync_global_devices(f"set aside {step}")
        self._manager = self._open()

    def _open(self) -> ocp.CheckpointManager:
        options = ocp.CheckpointManagerOptions(
            max_to_keep=self._keep, cleanup_tmp_directories=True, create=True
        )
        return ocp.CheckpointManager(self._folder, options=options)


def restore_part(folder: Path, target: Any) -> Any:
    """Some branches of the newest intact state, such as the parameters alone; renames nothing.

    Args:
      folder: `<workdir>/checkpoints`; a run that trains may be writing there.
      target: tree of `jax.ShapeDtypeStruct` with shardings, its top names those of the state.

    Returns:
      The tree of arrays.

    Raises:
      CheckpointError: there is no intact checkpoint, or it is of another model.
    """
    steps = ocp.utils.checkpoint_steps(folder) if folder.is_dir() else []
    for step in sorted(steps, reverse=True):
        path = folder.absolute() / str(step)
        meta = _read_meta(path)
        if meta is not None:
            _check_leaves(path, meta["leaves"], target, part=True)
            state = _intact(partial(_read_part, path, target), path, meta["leaves"])
            if state is not None:
                return state
    if steps:
        raise CheckpointError(f"none of the checkpoints {sorted(steps)} in {folder} is intact")
    raise CheckpointError(f"no checkpoint in {folder}; train first, or name another run")


def _read_part(path: Path, target: Any) -> Any:
    restore_args = ocp.checkpoint_utils.construct_restore_args(target)
    with ocp.Checkpointer(ocp.PyTreeCheckpointHandler()) as checkpointer:
        return checkpointer.restore(
            path / "state",
            args=ocp.args.PyTreeRestore(
                item=target, restore_args=restore_args, partial_restore=True
            ),
        )


def _read_meta(path: Path) -> dict[str, Any] | None:
    """The meta item of a checkpoint, None where it is damaged."""

    def read() -> dict[str, Any]:
        with ocp.Checkpointer(ocp.JsonCheckpointHandler()) as checkpointer:
            meta = checkpointer.restore(path / "meta")
        if meta.pop("digest") != _text_digest(meta):
            raise ValueError("the meta item was changed after it was saved")
        return meta

    meta = _none_if_damaged(read, path)
    if meta is not None and meta["schema"] != SCHEMA:
        raise CheckpointError(
            f"checkpoint {path} has schema {meta['schema']}, this version reads {SCHEMA}; "
            "go on with the version that wrote it"
        )
    return meta


def _intact(read: Callable[[], Any], path: Path, leaves: Mapping[str, Any]) -> Any | None:
    """The state that `read` returns, None where an array has not the digest it was saved with."""
    state = _none_if_damaged(read, path)
    if state is None:
        return None
    wrong = [name for name, got in leaf_digests(state).items() if got != leaves[name]["digest"]]
    if wrong:
        logging.error("checkpoint %s is damaged: %s was changed after it was saved", path, wrong)
        return None
    return state


def _none_if_damaged(read: Callable[[], Any], path: Path) -> Any | None:
    try:
        return read()
    except _NOT_DAMAGE:
        raise
    except Exception as error:  # noqa: BLE001 (damaged files fail in many libraries' ways)
        logging.error("checkpoint %s is damaged: %.200s", path, error)
        return None


def _check_leaves(path: Path, saved: Mapping[str, Any], target: Any, *, part: bool) -> None:
    wanted = _describe(target)
    for name in wanted if part else [*wanted, *saved]:
        got = {key: saved.get(name, {}).get(key) for key in ("shape", "dtype")}
        if got != wanted.get(name):
            raise CheckpointError(
                f"checkpoint {path} is of another model: {name} is "
                f"{_leaf_text(saved.get(name))}, this run has {_leaf_text(wanted.get(name))}; "
                "use another workdir or the config of that run"
            )


def _everywhere(holds: bool) -> bool:
    """Whether it holds on all processes, so that all of them go the same way."""
    return bool(np.all(multihost_utils.process_allgather(np.array(holds))))


def _describe(tree: Any) -> dict[str, dict[str, Any]]:
    return {
        name: {"shape": list(leaf.shape), "dtype": str(leaf.dtype)}
        for name, leaf in named_leaves(tree)
    }


def _leaf_text(leaf: Mapping[str, Any] | None) -> str:
    return "absent" if leaf is None else f"{leaf['dtype']}{leaf['shape']}"


def _text_digest(meta: Mapping[str, Any]) -> str:
    text = json.dumps(meta, sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()
