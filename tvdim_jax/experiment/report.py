"""The report of a run, composed from what its folder holds; nothing is missed that is not there."""

import json
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict

from tvdim_jax import config as config_lib
from tvdim_jax.config import TASKS, flat_fields, uses_text
from tvdim_jax.data.bad_examples import BadExamples
from tvdim_jax.experiment import run_folder
from tvdim_jax.experiment.clip_benchmark import with_our_names
from tvdim_jax.experiment.data import make_splits
from tvdim_jax.experiment.errors import BAD_INPUT
from tvdim_jax.experiment.gallery import gallery_sections
from tvdim_jax.experiment.inference import open_trained
from tvdim_jax.experiment.start import schedule_of
from tvdim_jax.experiment.starts import read_starts
from tvdim_jax.experiment.summary import is_finished
from tvdim_jax.experiment.tasks import TASK_OF
from tvdim_jax.report import Section, make_page, missing
from tvdim_jax.report.curves import ceiling, curves_section
from tvdim_jax.report.information import information_section
from tvdim_jax.report.lead import make_lead
from tvdim_jax.report.lines import Line
from tvdim_jax.report.scores import scores_of, scores_section
from tvdim_jax.report.settings import settings_section
from tvdim_jax.report.timing import timing_section
from tvdim_jax.train.metrics import read_rows

Galleries = Callable[[], list[Section]]


def write_report(
    workdir: Path,
    output: Path | None = None,
    *,
    galleries: Galleries | None = None,
    warnings: Sequence[str] = (),
) -> Path:
    """Writes the page about a run, finished or not, and returns where it is.

    Args:
      workdir: the run folder.
      output: the HTML file; None is report.html in the run folder.
      galleries: makes the sections with pictures; None is by the newest checkpoint.
      warnings: lines for the first screen, beside those that the page finds itself.

    Raises:
      ConfigError: there is no run in that folder.
    """
    page = _make_page(workdir, galleries or partial(_by_checkpoint, workdir), warnings)
    path = output or run_folder.report_path(workdir)
    run_folder.write_text(path, page)
    return path


def _make_page(workdir: Path, galleries: Galleries, warnings: Sequence[str]) -> str:
    config = run_folder.read_config(workdir)
    rows = read_run_rows(workdir)
    records, unreadable = read_records(workdir)
    scores = scores_of(records)
    starts = read_starts(workdir)
    name = workdir.resolve().name
    sections = [
        curves_section(
            rows,
            batch_size=config.train.batch_size,
            learning_rate=_learning_rate(config, rows),
            loss_at_chance=_loss_at_chance(config, rows),
        ),
        scores_section(
            records,
            {task: each.does for task, each in TASK_OF.items()},
            run=str(workdir),
            tasks=config.eval.tasks,
        ),
        *_pictures(galleries),
        information_section(records, run=str(workdir), has_text=uses_text(config)),
        timing_section(rows),
        settings_section(
            flat_fields(config),
            flat_fields(config_lib.default()),
            starts=starts,
            bad_examples=_bad_examples(workdir),
        ),
    ]
    lead = make_lead(
        scores,
        rows,
        about=_about(config, starts),
        num_steps=config.train.num_steps,
        finished=is_finished(workdir, config.train.num_steps),
        ceiling=ceiling(rows, config.train.batch_size),
        warnings=[*warnings, *(f"{each} cannot be read" for each in unreadable)],
    )
    return make_page(name, sections, lead=lead)


def read_run_rows(workdir: Path) -> list[dict[str, float | None]]:
    """The rows of metrics.jsonl; none where the run wrote none."""
    path = run_folder.metrics_path(workdir)
    return read_rows(path) if path.exists() else []


def read_records(workdir: Path) -> tuple[list[dict[str, Any]], list[str]]:
    """What evals/ holds, in the order of the tasks, and the files there that are no results."""
    found, unreadable = [], []
    for path in sorted(workdir.glob("evals/*.json")):
        try:
            record = with_our_names(json.loads(path.read_text(encoding="utf-8")))
            TASKS.index(record["task"]), record["dataset"]
        except (OSError, ValueError, LookupError, TypeError, AttributeError):
            unreadable.append(f"evals/{path.name}")
        else:
            found.append(record)
    return sorted(found, key=lambda each: TASKS.index(each["task"])), unreadable


def _by_checkpoint(workdir: Path) -> list[Section]:
    run = open_trained(workdir)
    return gallery_sections(run, make_splits(run.config))


def _pictures(galleries: Galleries) -> list[Section]:
    """The sections with pictures, or why there can be none."""
    try:
        return galleries()
    except (*BAD_INPUT, ValueError) as error:
        text = (
            f"Pictures with their maps, texts and neighbours need the model and the data: {error}"
        )
        return [Section("gallery", "Gallery", missing(text))]


def _bad_examples(workdir: Path) -> Counter[str]:
    """Reason -> training examples that any process skipped for it."""
    paths = {*workdir.glob("bad_examples*.jsonl")}
    counts = Counter[str]()
    for path in paths - {run_folder.bad_evaluation_examples_path(workdir)}:
        counts.update(BadExamples(path).counts())
    return counts


def _learning_rate(config: ConfigDict, rows: Sequence[Any]) -> Line | None:
    """The main rate at the updates of the rows; updates are counted from 0."""
    steps = [row["step"] for row in rows if "train/loss" in row]
    if not steps:
        return None
    rates = jax.jit(schedule_of(config, config.optimizer.learning_rate))(np.array(steps) - 1)
    return Line("learning rate", steps, np.broadcast_to(np.asarray(rates), len(steps)).tolist())


def _loss_at_chance(config: ConfigDict, rows: Sequence[Any]) -> float | None:
    """Log N where the whole loss is InfoNCE of the batch."""
    options = config.objective
    is_info_nce = options.name == "clip" and options.pair_loss == "info_nce"
    return ceiling(rows, config.train.batch_size) if is_info_nce else None


def _about(config: ConfigDict, starts: Sequence[Any]) -> str:
    """What the run is, in a line."""
    data = config.data.source
    if starts:
        data = f"{starts[-1]['data']['name']}, {starts[-1]['data']['train_images']:,} images"
    text = f" and {config.model.text}" if uses_text(config) else ""
    return (
        f"{config.objective.name}: {config.model.image}{text} on {data}; "
        f"global batch {config.train.batch_size:,}, seed {config.seed}"
    )
