"""A whole run: run folder, data, model, loop, evaluation."""

import time
from collections.abc import Mapping
from contextlib import ExitStack, closing
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils
from ml_collections import ConfigDict
from rich.console import Console

from tvdim_jax.config import uses_fusion, uses_sentences
from tvdim_jax.data.bad_examples import BadExamples
from tvdim_jax.experiment import data, run_folder
from tvdim_jax.experiment.closing import closing_summary
from tvdim_jax.experiment.encoders import make_encoders
from tvdim_jax.experiment.evaluation import EvaluationError, evaluate
from tvdim_jax.experiment.host import encoder_trees, save_batch
from tvdim_jax.experiment.inference import TrainedRun
from tvdim_jax.experiment.live import Progress, is_live, live_progress
from tvdim_jax.experiment.objective import batch_shapes, make_loss_fn, words_of
from tvdim_jax.experiment.opening import Run, banner, open_run
from tvdim_jax.experiment.programs import compile_ahead
from tvdim_jax.experiment.run_end import report_at_the_end, report_of_failure
from tvdim_jax.experiment.start import optimizer_of, start_state
from tvdim_jax.experiment.starts import record_start
from tvdim_jax.experiment.stopping import stop_on_signal
from tvdim_jax.experiment.summary import (
    evaluate_and_report,
    evaluation_row,
    is_finished,
    mark_finished,
    reasons,
)
from tvdim_jax.experiment.tables import TRAINED
from tvdim_jax.experiment.writers import open_log
from tvdim_jax.train import digest, metrics, sharding
from tvdim_jax.train.alarms import Alarms
from tvdim_jax.train.checkpoint import Checkpoints
from tvdim_jax.train.flops import peak_flops
from tvdim_jax.train.loop import Hooks, train
from tvdim_jax.train.metric_log import MetricLog
from tvdim_jax.train.state import TrainState
from tvdim_jax.train.step import TrainStep, make_train_step


def run_training(config: ConfigDict, console: Console) -> bool:
    """Trains, or goes on training, and evaluates; a finished run is left as it is.

    Args:
      config: checked; its `workdir` is the run folder.
      console: where people read; silent on all processes but the first.

    Returns:
      True when the run is finished, False when it was told to stop and was saved.

    Raises:
      ConfigError, DataError, CheckpointError: before the first update, one line each.
      BadDataError, NonFiniteError, EvaluationError: from the run itself.
    """
    start, num_steps = time.perf_counter(), config.train.num_steps
    run = open_run(config, console)
    console.print(banner(run), highlight=False, soft_wrap=True)
    ledger = BadExamples(run_folder.bad_examples_path(run.workdir, jax.process_index()))
    facts = {"seed": config.seed, "data": run.train_source.digest()}
    if run.teacher is not None:
        facts["teacher"] = run.teacher.digest
    folder = run_folder.checkpoints_path(run.workdir)
    with ExitStack() as stack:
        stack.enter_context(report_of_failure(run.workdir, console))
        with Checkpoints(folder, keep=config.train.keep_checkpoints, facts=facts) as checkpoints:
            tx = optimizer_of(config)
            state = start_state(
                config,
                run.model,
                tx,
                checkpoints,
                mesh=run.mesh,
                console=console,
                teacher=run.teacher,
            )
            if int(state.step) >= num_steps and is_finished(run.workdir, num_steps):
                said = f"the run in {run.workdir} is finished: nothing to do"
                console.print(said, soft_wrap=True)
                return True
            log = stack.enter_context(open_log(config, int(state.step), console))
            if int(state.step) < num_steps:
                if jax.process_index() == 0:
                    record_start(run.workdir, int(state.step), run.splits, facts["data"])
                state = _train(run, state, tx, checkpoints, ledger=ledger, log=log)
        if int(state.step) < num_steps:
            line = f"stopped and saved at step {int(state.step)}; the same command goes on"
            console.print(f"{line}, and `tvdim report {run.workdir}` shows what there is",
                          highlight=False, soft_wrap=True)  # fmt: skip
            return False
        console.print(f"state after step {int(state.step)}: digest {digest.tree_digest(state)}")
        if jax.process_index() == 0:
            _finish(run, state, log, start)
    # Whoever leaves first takes the run down when it has waited for minutes at the way out.
    multihost_utils.sync_global_devices("the run is evaluated")
    return True


def _finish(run: Run, state: TrainState, log: MetricLog, start: float) -> None:
    """Evaluates the last state and prints the summary of a run whose command began at `start`."""
    step, trees = int(state.step), encoder_trees(state)
    rows = evaluate_and_report(
        run.config,
        run.splits,
        run.tokenizer,
        run.model,
        trees,
        step=step,
        tasks=run.config.eval.tasks,
        console=run.console,
        log=log,
    )
    mark_finished(run.workdir, step)
    trained = TrainedRun(run.config, run.tokenizer, run.model, *trees, step)
    report_at_the_end(trained, run.splits, run.console)
    run.console.print(closing_summary(run.config, rows, time.perf_counter() - start))


def _train(
    run: Run,
    state: TrainState,
    tx: Any,
    checkpoints: Checkpoints,
    *,
    ledger: BadExamples,
    log: MetricLog,
) -> TrainState:
    config, start = run.config, int(state.step)
    stream = data.open_stream(config, run.train_source, run.tokenizer, ledger, start_step=start)
    rows = sharding.split_over_data(run.mesh)
    with closing(stream), closing(ledger), stop_on_signal() as told_to_stop:
        timer = metrics.StepTimer(
            start,
            batch_size=config.train.batch_size,
            peak_flops=peak_flops(run.mesh.devices.flat[0].device_kind, run.mesh.size),
        )
        step_fn = _compile(run, state, tx, timer)
        with live_progress(run.console, start, config.train.num_steps) as progress:
            alarms = Alarms()
            hooks = Hooks(
                log=lambda step, values: _log(
                    run, step, values, ledger=ledger, alarms=alarms, log=log, progress=progress
                ),
                save=checkpoints.save,
                evaluate=lambda step, state: _evaluate_in_training(run, step, state, log),
                should_stop=lambda step: told_to_stop() or checkpoints.preempted(step),
                save_bad_batch=lambda step, batch: save_batch(run.workdir, step, batch),
            )
            return train(
                state,
                (sharding.global_batch(batch, rows) for batch in progress.counted(stream)),
                step_fn,
                hooks,
                num_steps=config.train.num_steps,
                batch_size=config.train.batch_size,
                log_every=config.train.log_every,
                checkpoint_every=config.train.checkpoint_every,
                eval_every=config.eval.every,
                max_nonfinite_steps=config.train.max_nonfinite_steps,
                timer=timer,
            )


def _compile(run: Run, state: TrainState, tx: Any, timer: metrics.StepTimer) -> TrainStep:
    """The update; without sentences there is one size of batch, compiled before the loop."""
    words = words_of(run.tokenizer) if run.tokenizer and uses_fusion(run.config) else None
    train_step = make_train_step(make_loss_fn(run.config, run.model, run.mesh, words), tx)
    jitted = sharding.compile_step(train_step, run.mesh)
    first_batch = None if uses_sentences(run.config) else batch_shapes(run.config)
    return compile_ahead(jitted, state, first_batch, timer=timer, console=run.console)


def _log(
    run: Run,
    step: int,
    values: Mapping[str, float],
    *,
    ledger: BadExamples,
    alarms: Alarms,
    log: MetricLog,
    progress: Progress,
) -> None:
    # All processes count together, so that they all go on or all stop.
    num_bad = int(multihost_utils.process_allgather(np.asarray(ledger.num_bad)).sum())
    ledger.flush()
    ledger.check(num_bad, run.config.data.max_bad_fraction, len(run.splits.train))
    if jax.process_index() != 0:
        return
    log.append(step, {**values, "data/bad_fraction": num_bad / len(run.splits.train)})
    progress.show(step, values)
    num_steps = run.config.train.num_steps
    if not is_live(run.console) or step == num_steps:  # the live lines go with the last update
        line = metrics.progress_line(step, num_steps, values)
        run.console.print(line, highlight=False, soft_wrap=True)
    for warning in alarms.warnings(values):
        run.console.print(warning, highlight=False, soft_wrap=True)


def _evaluate_in_training(run: Run, step: int, state: TrainState, log: MetricLog) -> None:
    if jax.process_index() != 0:
        return
    encoders = make_encoders(run.config, run.model, *encoder_trees(state))
    try:
        with run.console.status("evaluating") as status:
            found = evaluate(
                {TRAINED: encoders},
                run.splits,
                run.tokenizer,
                run.config,
                tasks=run.config.eval.tasks,
                report=status.update,
            )
    except EvaluationError as error:  # no reason to end a run
        run.console.print(f"step {step}: {error}")
        return
    for line in reasons(found.missing):
        run.console.print(f"step {step}: {line}", highlight=False, soft_wrap=True)
    name = data.scored_name(run.config, run.splits)
    log.append(step, evaluation_row(found.rows[TRAINED], name))
