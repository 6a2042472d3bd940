"""The optimizer and the state that a run starts with."""

import dataclasses
from typing import Any

import jax
from jax.sharding import Mesh
from ml_collections import ConfigDict
from rich.console import Console

from tvdim_jax.config import ConfigError, uses_text
from tvdim_jax.experiment.model import Model
from tvdim_jax.prng import named_key
from tvdim_jax.train.adamw import adamw_without_bias_correction, make_linear_schedule
from tvdim_jax.train.checkpoint import Checkpoints
from tvdim_jax.train.optimizer import make_optimizer, make_schedule
from tvdim_jax.train.optimizer_groups import make_grouped_optimizer
from tvdim_jax.train.sharding import place, replicated
from tvdim_jax.train.state import TrainState, new_state
from tvdim_jax.weights import load_bert


def optimizer_of(config: ConfigDict) -> Any:
    """The optax transformation that the config names."""
    options = config.optimizer
    schedule = make_schedule(
        learning_rate=options.learning_rate,
        warmup_steps=options.warmup_steps,
        schedule=options.schedule,
        num_steps=config.train.num_steps,
        step_boundaries=tuple(options.step_boundaries),
        step_factor=options.step_factor,
    )
    adam = make_optimizer(
        schedule,
        b1=options.b1,
        b2=options.b2,
        eps=options.eps,
        weight_decay=options.weight_decay,
        clip_norm=options.clip_norm,
    )
    if not (uses_text(config) and options.text_learning_rate):
        return adam
    text_schedule = make_linear_schedule(
        learning_rate=options.text_learning_rate,
        warmup_steps=int(options.text_warmup_fraction * config.train.num_steps),
        num_steps=config.train.num_steps,
    )
    adamw = adamw_without_bias_correction(text_schedule, weight_decay=options.text_weight_decay)
    return make_grouped_optimizer(
        {"text": adamw, "rest": adam}, lambda top: "text" if top == "text" else "rest"
    )


def init_state(config: ConfigDict, model: Model, tx: Any) -> TrainState:
    """The state before the first update, from the seed alone."""
    root = jax.random.key(config.seed)
    params, variables = model.init(named_key(root, "init"))
    return new_state(params, variables, tx, root)


def start_state(
    config: ConfigDict,
    model: Model,
    tx: Any,
    checkpoints: Checkpoints,
    *,
    mesh: Mesh,
    console: Console,
) -> TrainState:
    """The state of the newest checkpoint, or a fresh one, on every device of the mesh.

    Raises:
      ConfigError: `model.text_weights` cannot be used.
      CheckpointError: the checkpoint cannot be read.
    """
    whole = replicated(mesh)
    shapes = jax.eval_shape(lambda: init_state(config, model, tx))
    target = jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=whole), shapes
    )
    state = checkpoints.restore_latest(target)
    if state is not None:
        console.print(f"resumed from the checkpoint of step {int(state.step)}")
        return state
    state = init_state(config, model, tx)
    if config.model.text_weights and model.text is not None:
        params = {**state.params, "text": _outside_text(config, state.params["text"], console)}
        state = dataclasses.replace(state, params=params)
    return place(state, mesh)


def _outside_text(config: ConfigDict, fresh: Any, console: Console) -> Any:
    """The text encoder's parameters from the folder that the config names."""
    try:
        params, report = load_bert(config.model.text_weights, fresh)
    except ValueError as error:
        raise ConfigError(f"config.model.text_weights: {error}") from error
    console.print(str(report), highlight=False, soft_wrap=True)
    return params
