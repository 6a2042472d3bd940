"""The end of a run: every task on the encoder and on the baselines, one table, JSON files."""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
from ml_collections import ConfigDict
from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from tvdim_jax.config import TASKS, ConfigError
from tvdim_jax.data.bad_examples import BadExamples
from tvdim_jax.data.tokenizer import Tokenizer
from tvdim_jax.experiment import run_folder
from tvdim_jax.experiment.data import Splits, make_splits
from tvdim_jax.experiment.encoders import make_encoders
from tvdim_jax.experiment.evaluation import evaluate
from tvdim_jax.experiment.inference import open_trained
from tvdim_jax.experiment.model import Model
from tvdim_jax.experiment.tasks import Outcome, Result
from tvdim_jax.prng import named_key
from tvdim_jax.train import metrics

Rows = dict[str, dict[str, Result]]  # name of the features -> task -> result
TRAINED = "trained"
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
) -> Rows:
    """Scores the trained encoder beside random initialisation and pixels.

    Writes `evals/<task>_<set>.json` and a row of metrics.jsonl, and prints the table.

    Args:
      config: of the run.
      splits: sources to fit the probe on and to score.
      tokenizer: of the run; None without text.
      model: pure encoder functions.
      trained: parameters and variables.
      step: updates that the trained encoder has seen.
      tasks: some of config.TASKS; of one that misses something, the reason is printed.
      console: where the table goes.

    Returns:
      Name of the features -> task -> result.
    """
    start = time.perf_counter()
    workdir, test_name = Path(config.workdir), splits.test.name
    ledger = BadExamples(run_folder.bad_evaluation_examples_path(workdir))
    untrained = model.init(named_key(jax.random.key(config.seed), "init"))
    encoders = {
        name: make_encoders(config, model, *trees)
        for name, trees in ((TRAINED, trained), ("random initialisation", untrained))
    }
    with console.status("evaluating"):
        found = evaluate(
            encoders, splits, tokenizer, config, tasks=tasks, ledger=ledger, with_pixels=True
        )
    ledger.flush()
    rows = {
        name: {task: outcome.result for task, outcome in outcomes.items()}
        for name, outcomes in found.rows.items()
    }
    _write_json(rows, workdir, test_name, step)
    seconds = time.perf_counter() - start
    of_trained = evaluation_row(found.rows[TRAINED], test_name)
    metrics.append_row(
        run_folder.metrics_path(workdir), {"step": step, **of_trained, "perf/eval_seconds": seconds}
    )
    if rows[TRAINED]:
        console.print(results_table(rows, test_name))
    for task, why in found.missing.items():
        console.print(f"{task}: not scored, as {why}", highlight=False, soft_wrap=True)
    return rows


def evaluate_run(workdir: Path, tasks: Sequence[str] | None, console: Console) -> Rows:
    """Evaluates the newest checkpoint of a run again; see `evaluate_and_report`.

    Args:
      workdir: the run folder, which may have been moved.
      tasks: some of config.TASKS; None takes those of the run.
      console: where the table goes.

    Raises:
      ConfigError: there is no run, or a task is unknown.
    """
    for task in tasks or ():
        if task not in TASKS:
            raise ConfigError(f"unknown task {task!r}, wanted some of {','.join(TASKS)}")
    run = open_trained(workdir)
    return evaluate_and_report(
        run.config,
        make_splits(run.config),
        run.tokenizer,
        run.model,
        (run.params, run.variables),
        step=run.step,
        tasks=run.config.eval.tasks if tasks is None else tasks,
        console=console,
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


def results_table(rows: Rows, test_name: str) -> Table:
    """One row per kind of features, one column per task: what a person reads at the end."""
    columns = [
        (task, name)
        for task, result in rows[TRAINED].items()
        for name in result["metrics"]
        if task != "retrieval" or name.endswith("R@10")
    ]
    title = f"{test_name}: frozen features, percent"
    table = Table(title=title, title_justify="left", box=SIMPLE, padding=(0, 1, 0, 0))
    table.add_column("features", no_wrap=True)
    for task, name in columns:
        heading = name.rsplit("_", 1) if task == "retrieval" else (task, name)
        table.add_column("\n".join(heading).replace("_", " "), justify="right", no_wrap=True)
    for features, results in rows.items():
        cells = [results.get(task, {}).get("metrics", {}).get(name) for task, name in columns]
        table.add_row(features, *("-" if cell is None else f"{100 * cell:.1f}" for cell in cells))
    if "retrieval" in rows[TRAINED]:
        chance = rows[TRAINED]["retrieval"]["chance"]
        cells = [chance[name] if task == "retrieval" else None for task, name in columns]
        table.add_row("chance", *("-" if cell is None else f"{100 * cell:.1f}" for cell in cells))
    return table


def _write_json(rows: Rows, workdir: Path, test_name: str, step: int) -> None:
    for task, result in rows[TRAINED].items():
        baselines = {
            name: results[task]
            for name, results in rows.items()
            if name != TRAINED and task in results
        }
        record = {"task": task, "dataset": test_name, "step": step, **result}
        path = run_folder.evaluation_path(workdir, task, test_name)
        run_folder.write_json(path, {**record, "baselines": baselines})
