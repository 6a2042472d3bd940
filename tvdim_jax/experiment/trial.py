"""A config on a few pairs: is its loss the same on any number of devices, can it learn them?"""

import tempfile
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
import optax
from ml_collections import ConfigDict

from tvdim_jax.config import ConfigError, uses_fusion, uses_text
from tvdim_jax.data.bad_examples import BadExamples
from tvdim_jax.data.sources.base import Source
from tvdim_jax.data.sources.subset import Subset
from tvdim_jax.data.tokenizer import Tokenizer
from tvdim_jax.experiment.data import Splits, make_splits, open_stream
from tvdim_jax.experiment.encoders import make_encoders
from tvdim_jax.experiment.evaluation import evaluate
from tvdim_jax.experiment.model import Model, make_model
from tvdim_jax.experiment.objective import make_loss_fn, words_of
from tvdim_jax.experiment.start import init_state, optimizer_of
from tvdim_jax.experiment.teacher import Teacher, open_teacher, with_teacher
from tvdim_jax.experiment.vocabulary import make_tokenizer
from tvdim_jax.prng import named_key
from tvdim_jax.train import sharding
from tvdim_jax.train.step import LossFn, make_train_step

_LOOK_EVERY = 50  # updates between looks at what has been memorised


class Trial(NamedTuple):
    """A run on a few pairs, before its first update.

    Attributes:
      config: of the run, its batch being all pairs.
      source: of the pairs.
      tokenizer: None without text.
      model: pure functions.
      teacher: or None.
    """

    config: ConfigDict
    source: Source
    tokenizer: Tokenizer | None
    model: Model
    teacher: Teacher | None


def open_trial(config: ConfigDict, num_pairs: int, num_steps: int) -> Trial:
    """Takes pairs of the training part and starts afresh, without a run folder.

    Args:
      config: checked; weights that it starts from are left out. Of the optimizer the rates stay,
        with a warm-up of at most a tenth of the updates and a constant rate after it.
      num_pairs: images whose texts no other one of them has.
      num_steps: updates that are made at most.

    Raises:
      ConfigError: fields that do not fit together, or fewer such images.
      DataError: data, tokenizer or vocabulary that cannot be used.
    """
    config = ConfigDict(config.to_dict())
    config.train.batch_size, config.train.num_steps = num_pairs, num_steps
    config.eval.num_test_examples = config.eval.num_train_examples = num_pairs
    config.optimizer.schedule = "constant"
    config.optimizer.warmup_steps = min(config.optimizer.warmup_steps, num_steps // 10)
    train = make_splits(config).train
    rows = _rows_of_different_texts(train, num_pairs, needs_text=uses_text(config))
    tokenizer = None
    if uses_text(config):
        with tempfile.TemporaryDirectory() as folder:
            tokenizer = make_tokenizer(config, train, Path(folder))
    teacher = open_teacher(config)
    try:
        model = with_teacher(make_model(config, tokenizer.vocab_size if tokenizer else 0), teacher)
    except ValueError as error:
        raise ConfigError(str(error)) from error
    return Trial(config, Subset(train, np.array(rows)), tokenizer, model, teacher)


def _rows_of_different_texts(source: Source, num_pairs: int, *, needs_text: bool) -> list[int]:
    rows: list[int] = []
    seen = set[str]()
    for row in range(len(source)):
        texts = {text.strip().lower() for text in source.captions(row)} - {""}
        if (texts or not needs_text) and not texts & seen:
            rows.append(row)
            seen |= texts
        if len(rows) == num_pairs:
            return rows
    raise ConfigError(
        f"{source.name} has {len(rows)} training images with texts of their own, fewer than "
        f"{num_pairs}; try fewer with --pairs"
    )


def loss_and_gradient(trial: Trial, devices: Sequence[jax.Device]) -> tuple[float, Any]:
    """Of the first batch, split over these devices: the loss and the gradient on the host."""
    mesh = sharding.make_mesh(devices)
    loss_fn, tx = _loss_fn(trial, mesh), optimizer_of(trial.config)
    key = jax.random.key(trial.config.seed)

    def loss_of(params: Any, variables: Any, batch: Any) -> Any:
        return loss_fn(params, variables, batch, key=named_key(key, "trial"), step=0)[0]

    whole, rows = sharding.replicated(mesh), sharding.split_over_data(mesh)
    state = sharding.place(init_state(trial.config, trial.model, tx, trial.teacher), mesh)
    gradient = jax.jit(
        jax.value_and_grad(loss_of), in_shardings=(whole, whole, rows), out_shardings=whole
    )
    with closing(_stream(trial)) as stream:
        batch = sharding.global_batch(next(stream), rows)
    loss, grads = gradient(state.params, state.variables, batch)
    return float(loss), jax.tree.map(np.asarray, grads)


def difference(one: tuple[float, Any], other: tuple[float, Any]) -> tuple[float, float]:
    """Of two results of `loss_and_gradient`: relative ones of the loss and of the gradient."""
    apart = jax.tree.map(lambda a, b: a - b, one[1], other[1])
    norm = max(float(optax.tree.norm(one[1])), 1e-30)
    of_loss = abs(one[0] - other[0]) / max(abs(one[0]), 1e-30)
    return of_loss, float(optax.tree.norm(apart)) / norm


def memorise(
    trial: Trial, wanted: float, report: Callable[[str], None]
) -> tuple[float, float, int]:
    """Trains on the pairs until their texts find their images, or all updates are made.

    Args:
      trial: of a run with text.
      wanted: share of the texts that rank their own image first, at which to stop.
      report: gets a line of progress.

    Returns:
      The share reached, what chance gives, and the updates made.
    """
    mesh = sharding.make_mesh(jax.local_devices())
    tx, rows = optimizer_of(trial.config), sharding.split_over_data(mesh)
    state = sharding.place(init_state(trial.config, trial.model, tx, trial.teacher), mesh)
    train_step = sharding.compile_step(make_train_step(_loss_fn(trial, mesh), tx), mesh)
    num_steps, step = trial.config.train.num_steps, 0
    found = chance = 0.0
    with closing(_stream(trial)) as stream:
        while step < num_steps and found < wanted:
            for _ in range(min(_LOOK_EVERY, num_steps - step)):
                state, metrics = train_step(state, sharding.global_batch(next(stream), rows))
                step += 1
            variables = {"batch_stats": state.variables["batch_stats"]}
            found, chance = _share_found(trial, jax.device_get((state.params, variables)))
            report(
                f"update {step}/{num_steps}  loss {float(metrics['train/loss']):.3f}  "
                f"{found:.0%} of the texts find their image"
            )
    return found, chance, step


def _loss_fn(trial: Trial, mesh: jax.sharding.Mesh) -> LossFn:
    words = words_of(trial.tokenizer) if trial.tokenizer and uses_fusion(trial.config) else None
    return make_loss_fn(trial.config, trial.model, mesh, words)


def _stream(trial: Trial) -> Any:
    return open_stream(trial.config, trial.source, trial.tokenizer, BadExamples(), start_step=0)


def _share_found(trial: Trial, trees: tuple[Any, Any]) -> tuple[float, float]:
    """Recall at 1 of images by their texts, and its chance."""
    encoders = {"trained": make_encoders(trial.config, trial.model, *trees)}
    splits = Splits(trial.source, trial.source)
    found = evaluate(encoders, splits, trial.tokenizer, trial.config, tasks=("retrieval",))
    result = found.rows["trained"]["retrieval"].result
    name = "text_to_image_R@1"
    return result["metrics"][name], result["chance"][name]
