"""The end of a run: every task on the encoder and on the baselines, one table, JSON files."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import jax
from ml_collections import ConfigDict
from rich.console import Console
from rich.table import Table

from tvdim_jax.config import TASKS, ConfigError, override
from tvdim_jax.data.bad_examples import BadExamples
from tvdim_jax.data.sources.base import Source
from tvdim_jax.data.tokenizer import Tokenizer
from tvdim_jax.experiment import run_folder
from tvdim_jax.experiment.against import compare_with, open_other
from tvdim_jax.experiment.clip_benchmark import with_their_names
from tvdim_jax.experiment.comparison import Stored, name_rows, save
from tvdim_jax.experiment.data import Splits, make_splits, scored_name, scores_usual_part
from tvdim_jax.experiment.encoders import make_encoders
from tvdim_jax.experiment.evaluation import Evaluation, evaluate
from tvdim_jax.experiment.inference import open_trained
from tvdim_jax.experiment.model import Model
from tvdim_jax.experiment.progress import now_and_then
from tvdim_jax.experiment.tables import (
    TRAINED,
    UNTRAINED,
    Rows,
    comparison_table,
    details_table,
    notes,
    numbers_table,
    results_table,
)
from tvdim_jax.experiment.tasks import Outcome
from tvdim_jax.experiment.writers import open_evaluation_log
from tvdim_jax.prng import named_key
from tvdim_jax.train import metrics
from tvdim_jax.train.metric_log import MetricLog

# What a finished run may be evaluated with: the rest went into its parameters.
CHANGEABLE = ("eval.", "data.source", "data.path", "data.train_split", "data.num_threads")
_LOG_SECONDS = 30  # between lines of progress, where they stay
FINISHED = "run/finished"  # in metrics.jsonl


def evaluate_and_report(
    config: ConfigDict,
    splits: Splits,
    tokenizer: Tokenizer | None,
    model: Model,
    trained: tuple[Any, Any],
    *,
    step: int,
    tasks: Sequence[str],
    console: Console,
    log: MetricLog,
    folder_name: str = "",
    against: Path | None = None,
) -> dict[str, Any]:
    """Scores the trained encoder beside random initialisation and pixels.

    Writes `evals/<task>_<set>.json`, single scores and predictions beside it, and a row of
    metrics.jsonl, and prints the tables.

    Args:
      config: of the run.
      splits: sources to fit the probe on and to score.
      tokenizer: of the run; None without text.
      model: pure encoder functions.
      trained: parameters and variables.
      step: updates that the trained encoder has seen.
      tasks: some of config.TASKS; of one that misses something, the reason is printed.
      console: where the tables go.
      log: gets a row.
      folder_name: of data that are not those of the training; part of the set's name.
      against: another run, scored on the same images before; adds "against" to the results.

    Returns:
      Name of the features -> task -> result; and "not_scored" -> task -> why, if there is one.

    Raises:
      EvaluationError: see `evaluate`.
      ConfigError: the other run was not scored on the same images (before anything is read) by the
        same labels (after all is written).
    """
    start = time.perf_counter()
    workdir = Path(config.workdir)
    set_name = "_".join(filter(None, (scored_name(config, splits), folder_name)))
    other = None
    if against is not None:
        other = open_other(against, config, splits, tasks=tasks, set_name=set_name)
    ledger = BadExamples(run_folder.bad_evaluation_examples_path(workdir))
    untrained = model.init(named_key(jax.random.key(config.seed), "init"))
    encoders = {
        name: make_encoders(config, model, *trees)
        for name, trees in ((TRAINED, trained), (UNTRAINED, untrained))
    }
    with _progress(console) as report:
        found = evaluate(
            encoders,
            splits,
            tokenizer,
            config,
            tasks=tasks,
            ledger=ledger,
            with_pixels=True,
            report=report,
        )
    ledger.flush()
    rows, stored = _separated(found, splits.test)
    _write(rows, stored, config, set_name, step)
    _write_predictions(found.rows[TRAINED], workdir, set_name)
    seconds = time.perf_counter() - start
    of_trained = evaluation_row(found.rows[TRAINED], set_name)
    log.append(step, {**of_trained, "perf/eval_seconds": seconds})
    tables = [table(rows, set_name) for table in (results_table, details_table, numbers_table)]
    _print(console, tables, [*notes(rows[TRAINED]), *reasons(found.missing)])
    if other is not None:
        differences, lines = compare_with(other, stored, rows[TRAINED], step)
        _write(rows, stored, config, set_name, step)
        names = workdir.name, other.folder.name
        _print(console, [comparison_table(differences, names)], lines)
    return {**rows, "not_scored": found.missing} if found.missing else rows


@contextmanager
def _progress(console: Console) -> Iterator[Callable[[str], None]]:
    """Where progress goes: each line over the last in a terminal, else a line now and then."""
    with console.status("evaluating") as status:
        logged = now_and_then(partial(_print_line, console), _LOG_SECONDS)
        yield status.update if console.is_terminal else logged


def _separated(found: Evaluation, source: Source) -> tuple[Rows, dict[str, dict[str, Stored]]]:
    """All results, and the single scores of the trained encoder with the names of their images."""
    rows = {
        name: {task: outcome.result for task, outcome in outcomes.items()}
        for name, outcomes in found.rows.items()
    }
    stored = {
        task: {name: name_rows(each, source) for name, each in outcome.examples.items()}
        for task, outcome in found.rows[TRAINED].items()
        if outcome.examples
    }
    return rows, stored


def _print(console: Console, tables: Sequence[Table | None], lines: Sequence[str]) -> None:
    for table in filter(None, tables):
        console.print(table)
    for line in lines:
        _print_line(console, line)


def _print_line(console: Console, line: str) -> None:
    console.print(line, highlight=False, soft_wrap=True)


def reasons(missing: Mapping[str, str]) -> list[str]:
    """A line for each task that was not scored, see `Evaluation`."""
    return [f"{task}: not scored, as {why}" for task, why in missing.items()]


def evaluate_run(
    workdir: Path,
    tasks: Sequence[str] | None,
    console: Console,
    *,
    overrides: Sequence[str] = (),
    data_path: str = "",
    against: Path | None = None,
) -> dict[str, Any]:
    """Evaluates the newest checkpoint of a run again; see `evaluate_and_report`.

    Of a part for tests all images are scored, but for an override of eval.num_test_examples: the
    run's own limit is for its validation part.

    Args:
      workdir: the run folder, which may have been moved.
      tasks: some of config.TASKS; None takes those of the run.
      console: where the tables go.
      overrides: words as of `config.load` that change CHANGEABLE fields of the run's config.
      data_path: folder of other data of the same kind; "" takes those of the run.
      against: see `evaluate_and_report`.

    Raises:
      ConfigError: there is no run, a task is unknown, a field cannot be changed, or the data of the
        run lie in no folder.
      DataError: the other data are not of this kind.
    """
    for task in tasks or ():
        if task not in TASKS:
            raise ConfigError(f"unknown task {task!r}, wanted some of {','.join(TASKS)}")
    run = open_trained(workdir)
    config = override(run.config, overrides, CHANGEABLE)
    if data_path and config.data.source == "scenes":
        raise ConfigError(
            f"the run in {str(workdir)!r} is on scenes, which lie in no folder: leave --data out, "
            "or name another kind with --config.data.source=captions"
        )
    if data_path:
        config.data.path = data_path
    splits = make_splits(config)
    limited = any(word.startswith("--config.eval.num_test_examples=") for word in overrides)
    if not (scores_usual_part(config) or limited):
        config.eval.num_test_examples = len(splits.test)
    finished = is_finished(Path(config.workdir), run.step)
    with open_evaluation_log(config, run.step, console, finished=finished) as log:
        return evaluate_and_report(
            config,
            splits,
            run.tokenizer,
            run.model,
            (run.params, run.variables),
            step=run.step,
            tasks=config.eval.tasks if tasks is None else tasks,
            console=console,
            log=log,
            folder_name=Path(data_path).resolve().name if data_path else "",
            against=against,
        )


def mark_finished(workdir: Path, step: int) -> None:
    """Notes in metrics.jsonl that the run was evaluated after its last update, `step`."""
    metrics.append_row(run_folder.metrics_path(workdir), {"step": step, FINISHED: 1})


def is_finished(workdir: Path, num_steps: int) -> bool:
    """Whether a run of `num_steps` updates was trained and evaluated to its end."""
    path = run_folder.metrics_path(workdir)
    rows = metrics.read_rows(path) if path.exists() else []
    return any(row["step"] == num_steps and FINISHED in row for row in rows)


def evaluation_row(outcomes: Mapping[str, Outcome], test_name: str) -> dict[str, float]:
    """Metrics by their full names, `eval/<set>/<task>/<metric>`."""
    return {
        f"eval/{test_name}/{task}/{name}": value
        for task, outcome in outcomes.items()
        for name, value in outcome.result["metrics"].items()
    }


def _write(
    rows: Rows,
    stored: Mapping[str, Mapping[str, Stored]],
    config: ConfigDict,
    set_name: str,
    step: int,
) -> None:
    workdir = Path(config.workdir)
    for task, result in rows[TRAINED].items():
        baselines = {
            name: results[task]
            for name, results in rows.items()
            if name != TRAINED and task in results
        }
        named = with_their_names(task, result, config)
        record = {"task": task, "dataset": set_name, "step": step, **named}
        path = run_folder.evaluation_path(workdir, task, set_name)
        run_folder.write_json(path, {**record, "baselines": baselines})
        if task in stored:
            save(run_folder.examples_path(workdir, task, set_name), stored[task])


def _write_predictions(outcomes: Mapping[str, Outcome], workdir: Path, set_name: str) -> None:
    for task, outcome in outcomes.items():
        if outcome.predictions is not None:
            path = run_folder.predictions_path(workdir, task, set_name)
            run_folder.write_json(path, outcome.predictions)
