"""The page that compares runs, composed from what their folders hold."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tvdim_jax.config import ConfigError, flat_fields
from tvdim_jax.experiment import run_folder
from tvdim_jax.experiment.against import unlike
from tvdim_jax.experiment.comparison import Stored, compare, load
from tvdim_jax.experiment.encoders import GLOBAL
from tvdim_jax.experiment.report import read_records, read_run_rows
from tvdim_jax.report import make_page
from tvdim_jax.report.comparison import (
    ComparedRun,
    Differences,
    comparison_lead,
    comparison_sections,
)
from tvdim_jax.report.formats import words
from tvdim_jax.report.intervals import Interval
from tvdim_jax.report.scores import scores_of

_CONFIDENCE = 0.95  # of `compare`
Records = Mapping[tuple[str, str], dict[str, Any]]  # (task, set) -> record


def write_comparison(workdirs: Sequence[Path], output: Path) -> Path:
    """Writes a page that sets runs beside the first of them, and returns where it is.

    Args:
      workdirs: run folders, two at least.
      output: the HTML file.

    Raises:
      ConfigError: there is no run in a folder, or a folder is named twice.
    """
    twice = [str(each) for each in workdirs if workdirs.count(each) > 1]
    if twice:
        raise ConfigError(f"{twice[0]!r} is named twice; name each run once")
    names = _names(workdirs)
    runs = [_compared(workdir, name) for workdir, name in zip(workdirs, names, strict=True)]
    differences = [
        _differences(workdirs[0], workdir, name)
        for workdir, name in zip(workdirs[1:], names[1:], strict=True)
    ]
    sections = comparison_sections(runs, differences, confidence=_CONFIDENCE)
    lead = comparison_lead(differences, names[0])
    run_folder.write_text(output, make_page(", ".join(names), sections, lead=lead))
    return output


def _names(workdirs: Sequence[Path]) -> list[str]:
    """Names of the folders; where two have one, their paths below the folder they share."""
    paths = [workdir.resolve() for workdir in workdirs]
    names = [path.name for path in paths]
    if len(set(names)) == len(names):
        return names
    shared = os.path.commonpath(path.parent for path in paths)
    return [str(path.relative_to(shared)) for path in paths]


def _compared(workdir: Path, name: str) -> ComparedRun:
    config = run_folder.read_config(workdir)
    records, _ = read_records(workdir)
    return ComparedRun(name, read_run_rows(workdir), scores_of(records), flat_fields(config))


def _differences(first: Path, other: Path, name: str) -> Differences:
    """The other run minus the first one, of the tasks that both keep single scores of."""
    found: dict[str, Interval] = {}
    notes = []
    records = [_by_task(workdir) for workdir in (other, first)]
    for (task, dataset), record in records[0].items():
        paths = [run_folder.examples_path(workdir, task, dataset) for workdir in (other, first)]
        if (task, dataset) not in records[1] or not all(path.exists() for path in paths):
            continue
        what = f"{words(task)} on {dataset}"
        try:
            found |= _intervals(what, *map(load, paths))
        except ValueError as error:  # ConfigError too: such as other images
            notes.append(f"{what}: not compared, as {error}")
            continue
        notes += [
            f"{what}: the runs differ in more than their weights: {line}"
            for line in unlike(record, records[1][task, dataset])
        ]
    return Differences(name, found, notes)


def _by_task(workdir: Path) -> Records:
    return {(each["task"], each["dataset"]): each for each in read_records(workdir)[0]}


def _intervals(
    what: str, one: Mapping[str, Stored], two: Mapping[str, Stored]
) -> dict[str, Interval]:
    """By what was scored; of the usual features they are not named."""
    return {
        f"{what}, {words(f'{part}_{name}'.removeprefix(f'{GLOBAL}_'))}": Interval(
            each["difference"], each["low"], each["high"]
        )
        for part, found in compare(one, two).items()
        for name, each in found.items()
    }
