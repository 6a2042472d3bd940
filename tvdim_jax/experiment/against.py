"""Another run beside one that is evaluated: what it scored is read before, and compared after."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ml_collections import ConfigDict

from tvdim_jax.config import ConfigError
from tvdim_jax.experiment import run_folder
from tvdim_jax.experiment.comparison import Stored, check_same_images, compare, load
from tvdim_jax.experiment.data import Splits
from tvdim_jax.experiment.tasks import TASK_OF, Result

_TUNING = ("num_steps", "batch_size", "learning_rate", "layer_decay", "weight_decay")
_WITH_SCORES = "mi, label_fractions and false_negatives keep none"


class Other(NamedTuple):
    """What another run scored.

    Attributes:
      folder: of the run.
      stored: task -> its single scores, by the kind of features.
      records: task -> the JSON of its result.
    """

    folder: Path
    stored: dict[str, dict[str, Stored]]
    records: dict[str, Result]


def open_other(
    folder: Path, config: ConfigDict, splits: Splits, *, tasks: Sequence[str], set_name: str
) -> Other:
    """Reads the scores of a run, before the run that they are set against is evaluated.

    Args:
      folder: of the other run.
      config: of the run that will be evaluated.
      splits: its sources.
      tasks: those that it will be evaluated with.
      set_name: what will be scored.

    Raises:
      ConfigError: no single scores of these tasks, or they are of other images.
    """
    other = Other(folder, {}, {})
    for task in tasks:
        path = run_folder.examples_path(folder, task, set_name)
        if not path.exists():
            continue
        other.stored[task] = load(path)
        record = run_folder.evaluation_path(folder, task, set_name)
        try:
            other.records[task] = json.loads(record.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise ConfigError(f"cannot read {record}: {error}; evaluate that run again") from error
        rows = TASK_OF[task].rows(config, splits.test, config.eval.num_test_examples)
        asked = other.records[task].get("images", {}).get("test", {}).get("asked")
        names = [splits.test.example_id(row) for row in rows]
        for name, each in other.stored[task].items():
            check_same_images(f"{task}, {name}", names, each.example_id.tolist(), asked)
    if not other.stored:
        wanted = ",".join(tasks)
        raise ConfigError(
            f"no single scores of {wanted} on {set_name} in {str(folder)!r}; score that run on "
            f"the same set first: tvdim evaluate {folder} --tasks {wanted}, with the same --data "
            f"and --split; {_WITH_SCORES}"
        )
    return other


def compare_with(
    other: Other,
    stored: Mapping[str, Mapping[str, Stored]],
    results: Mapping[str, Result],
    step: int,
) -> tuple[dict[str, Any], list[str]]:
    """Differences from the other run, which also become "against" of the results.

    Args:
      other: see `open_other`.
      stored: task -> single scores of the run that was evaluated.
      results: task -> its result.
      step: of its checkpoint.

    Returns:
      Task -> what `compare` gives; and lines about what is not alike or was not compared.

    Raises:
      ConfigError: other images or labels, or nothing to compare.
    """
    differences: dict[str, Any] = {}
    lines = []
    for task, each in stored.items():
        try:
            found = compare(each, other.stored[task]) if task in other.stored else {}
        except ConfigError:
            raise
        except ValueError as error:  # such as one patient who has all positives
            lines.append(f"{task}: not compared, as {error}")
            continue
        if not found:
            lines.append(f"{task}: not compared, as {other.folder} has no scores of it that fit")
            continue
        other_than_weights = unlike({"step": step, **results[task]}, other.records[task])
        differences[task] = found
        results[task]["against"] = {
            "run": str(other.folder), "differences": found, "unlike": other_than_weights
        }  # fmt: skip
        lines += [
            f"{task}: the runs differ in more than their weights: {line}"
            for line in other_than_weights
        ]
    if not differences:
        raise ConfigError(
            f"nothing to compare with {str(other.folder)!r}: "
            + ("; ".join(lines) or f"no task keeps single scores; {_WITH_SCORES}")
        )
    return differences, lines


def unlike(own: Result, other: Result) -> list[str]:
    """What of the protocol is not alike, in words.

    Args:
      own: the result of one run, with the step of its checkpoint.
      other: that of another one.
    """
    found = []
    for name, pair in (
        ("step", [each.get("step") for each in (own, other)]),
        (
            "training images",
            [each.get("images", {}).get("train", {}).get("read") for each in (own, other)],
        ),
    ):
        if pair[0] != pair[1] and None not in pair:
            found.append(f"{name} {pair[0]:,} against {pair[1]:,}")
    for field, name in (("templates", "templates"), ("class_names", "classes to choose from")):
        lists = [each.get(field, ()) for each in (own, other)]
        if all(lists) and set(lists[0]) != set(lists[1]):
            found.append(f"{name}: {len(lists[0])} against {len(lists[1])}, not the same")
    protocols = [each.get("protocol", {}) for each in (own, other)]
    for field in _TUNING:
        pair = [each.get(field) for each in protocols]
        if pair[0] != pair[1] and None not in pair:
            found.append(f"fine-tuning {field.replace('_', ' ')} {pair[0]:g} against {pair[1]:g}")
    return found
