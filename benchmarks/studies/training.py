"""Trains one arm with the library's own loop, without a run folder."""

import tempfile
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import jax
from ml_collections import ConfigDict

from tvdim_jax.config import uses_text
from tvdim_jax.data.bad_examples import BadExamples
from tvdim_jax.data.tokenizer import Tokenizer
from tvdim_jax.experiment.data import Splits, open_stream
from tvdim_jax.experiment.model import Model, make_model
from tvdim_jax.experiment.objective import make_loss_fn
from tvdim_jax.experiment.start import init_state, optimizer_of
from tvdim_jax.experiment.vocabulary import make_tokenizer
from tvdim_jax.train.loop import Hooks, train
from tvdim_jax.train.metrics import progress_line
from tvdim_jax.train.step import make_train_step


class Trained(NamedTuple):
    """What an arm has after its updates; `metrics` are those of the last log row."""

    model: Model
    tokenizer: Tokenizer | None
    params: Any
    variables: Any
    metrics: dict[str, float]


def train_arm(
    config: ConfigDict, splits: Splits, *, is_trained: bool, show: Callable[[str], None]
) -> Trained:
    """Trains from the seed on.

    Args:
      config: of the arm.
      splits: trains on the first part.
      is_trained: False returns the weights before the first update.
      show: gets a line with the time that is left, every `train.log_every` updates.
    """
    tokenizer = None
    if uses_text(config):
        with tempfile.TemporaryDirectory() as folder:
            tokenizer = make_tokenizer(config, splits.train, Path(folder))
    model = make_model(config, tokenizer.vocab_size if tokenizer else 0)
    tx = optimizer_of(config)
    state = init_state(config, model, tx)
    metrics: dict[str, float] = {}

    def log(step: int, values: Mapping[str, float]) -> None:
        metrics.update(values)
        show(progress_line(step, config.train.num_steps, values))

    if is_trained:
        hooks = Hooks(
            log=log,
            save=_do_nothing,
            evaluate=_do_nothing,
            should_stop=lambda _: False,
            save_bad_batch=_do_nothing,
        )
        step_fn: Any = jax.jit(make_train_step(make_loss_fn(config, model), tx), donate_argnums=0)
        with closing(
            open_stream(config, splits.train, tokenizer, BadExamples(), start_step=0)
        ) as stream:
            state = train(
                state,
                iter(stream),
                step_fn,
                hooks,
                num_steps=config.train.num_steps,
                batch_size=config.train.batch_size,
                log_every=config.train.log_every,
                checkpoint_every=config.train.num_steps,
            )
    return Trained(model, tokenizer, state.params, state.variables, metrics)


def _do_nothing(*_: Any) -> None:
    """What an arm without a run folder saves."""
