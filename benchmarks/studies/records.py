"""The record of an arm: what was done, what was found, what it cost."""

import json
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from benchmarks.loss_costs.report import device_name, versions
from benchmarks.studies.training import Trained, train_arm
from tvdim_jax.config import default, flat_fields
from tvdim_jax.experiment.data import Splits

Record = dict[str, Any]


def changed_fields(config: ConfigDict) -> dict[str, Any]:
    """The config fields that are not at their defaults, paths left out."""
    usual = flat_fields(default())
    fields = flat_fields(config)
    return {k: v for k, v in fields.items() if v != usual[k] and k != "data.path"}


def measure(
    config: ConfigDict,
    splits: Splits,
    *,
    is_trained: bool,
    score: Callable[[ConfigDict, Splits, Trained], Any],
    show: Callable[[str], None],
) -> Record:
    """Trains and scores one arm.

    Args:
      config: of the arm.
      splits: trains on the first part.
      is_trained: False scores the weights before the first update.
      score: what the arm is worth, as JSON.
      show: gets lines about the progress.

    Returns:
      The record, without the names of set and arm.
    """
    start = _seconds()
    trained = train_arm(config, splits, is_trained=is_trained, show=show)
    middle = _seconds()
    results = score(config, splits, trained)
    end = _seconds()
    return {
        "device": device_name(),
        "versions": versions(),
        "fields": changed_fields(config),
        "num_steps": config.train.num_steps,
        "batch_size": config.train.batch_size,
        "num_train": len(splits.train),
        "num_test": len(splits.test),
        "last_metrics": trained.metrics,
        "results": results,
        "train_cpu_seconds": middle[0] - start[0],
        "train_wall_seconds": middle[1] - start[1],
        "evaluation_cpu_seconds": end[0] - middle[0],
    }


def check_fields(path: Path, fields: Mapping[str, Any]) -> None:
    """Compares a record with what would be done now.

    Args:
      path: of the record.
      fields: `changed_fields` of the job.

    Raises:
      ValueError: the record was made with other values.
    """
    found = json.loads(path.read_text(encoding="utf-8"))["fields"]
    wanted = json.loads(json.dumps(fields))
    if different := sorted(k for k in found | wanted if found.get(k) != wanted.get(k)):
        raise ValueError(
            f"{path} was made with other values of {', '.join(different)}: move it away, or "
            "write to another folder with --out"
        )


def write_record(path: Path, record: Record) -> None:
    """Writes all or nothing, so that a record that is there is whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    part.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    part.replace(path)


def read_records(folder: Path) -> list[Record]:
    """All records under a folder, in the order of their paths."""
    return [json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.rglob("*.json"))]


def records_or_exit(folder: Path, study: str) -> list[Record]:
    """The same, for a command that has nothing to do without any: it ends with a line.

    Args:
      folder: of the records of one set.
      study: what makes them, such as "claims_srcl.py".
    """
    found = read_records(folder)
    if not found:
        sys.exit(f"got {folder}, a folder without records, wanted one of {study}")
    return found


def _seconds() -> tuple[float, float]:
    """CPU seconds of all threads, and wall seconds."""
    return time.process_time(), time.perf_counter()
