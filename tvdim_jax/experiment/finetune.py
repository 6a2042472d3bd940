"""Fine-tuning: the image encoder with a new linear classifier trains on labels."""

from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import chain
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import Mesh
from ml_collections import ConfigDict

from tvdim_jax.config import reads_grey
from tvdim_jax.data.bad_examples import BadExamples
from tvdim_jax.evals import features
from tvdim_jax.experiment.classifier import Classifier, joined, make_classifier
from tvdim_jax.experiment.finetune_protocol import FineTuning, Protocol, check_options
from tvdim_jax.experiment.labelled_images import (
    LabelledImages,
    check_images,
    scored_batches,
    train_stream,
    with_labels,
)
from tvdim_jax.experiment.model import Model
from tvdim_jax.experiment.views import make_plain_view, make_train_view
from tvdim_jax.objectives.classification import make_classification_objective
from tvdim_jax.prng import named_key
from tvdim_jax.train import metrics, sharding
from tvdim_jax.train.layer_rates import layer_rates, scale_by_rates
from tvdim_jax.train.loop import Hooks, NonFiniteError, train
from tvdim_jax.train.optimizer import make_optimizer, make_schedule
from tvdim_jax.train.state import TrainState, new_state
from tvdim_jax.train.step import LossFn, TrainStep, make_train_step

_NUM_REPORTS = 20  # progress lines of a whole training


class FineTuned(NamedTuple):
    """A fine-tuned classifier and what it says of the test images.

    Attributes:
      logits: float32 `[n, C]` of the test images that could be read, into a softmax for one label,
        into a sigmoid each for several.
      test_index: int64 `[n]`, which of the test images they are: `test_set.rows[test_index]` are
        their rows, `test_set.labels[test_index]` their labels.
      protocol: how it was trained.
      params: {"image": the whole encoder, "classifier": the head}.
      variables: {"batch_stats": of the encoder}.
    """

    logits: np.ndarray
    test_index: np.ndarray
    protocol: Protocol
    params: Any
    variables: Any


def finetune_classifier(
    config: ConfigDict,
    model: Model,
    params: Any,
    variables: Any,
    *,
    train_set: LabelledImages,
    test_set: LabelledImages,
    options: FineTuning,
    ledger: BadExamples,
    report: Callable[[str], None],
) -> FineTuned:
    """Trains encoder and head on `train_set` and applies them to `test_set`.

    The classifier after the last update is scored; nothing is chosen by the test images. An image
    that cannot be read is replaced in training by another one with its own labels, and left out of
    the test.

    Args:
      config: of the run: seed, images, augmentation.
      model: of the run.
      params: trained parameters of the run; those under "image" are used, and not changed.
      variables: batch statistics of the run, used alike.
      train_set: images to learn from.
      test_set: labels of the same kind and classes.
      options: how to train.
      ledger: gets the images that could not be read.
      report: gets a line of progress with the time left now and then.

    Returns:
      Test logits, protocol and the trained trees.

    Raises:
      ValueError: sets or options that do not fit together, or training that diverged.
      BadDataError: too many unreadable images in a row.
    """
    check_options(options)
    num_classes = check_images(train_set, test_set)
    mesh = sharding.make_mesh(jax.local_devices())
    batch_size = sharding.whole_batch_size(options.batch_size, mesh)
    root = named_key(jax.random.key(config.seed), "finetune")
    side = config.model.image_size
    apply, trained, rest = make_classifier(
        model,
        params,
        variables,
        num_classes=num_classes,
        frozen=options.frozen,
        image_shape=(side, side, 1 if reads_grey(config) else 3),
        key=named_key(root, "classifier"),
    )
    tx = _optimizer({**params["image"], "classifier": trained["classifier"]}, trained, options)
    train_step = make_train_step(_loss_of(config, apply, options), tx)
    # Copies: the state is donated, and the caller keeps what he gave.
    trained, rest = jax.tree.map(jnp.array, (trained, rest))
    state = sharding.place(new_state(trained, rest, tx, root), mesh)
    with closing(train_stream(config, train_set, batch_size, ledger)) as stream:
        batches = with_labels(stream, train_set)
        state = _train(state, batches, train_step, mesh, options=options, report=report)
    embed = _logits_of(config, apply, state, mesh)
    rows = sharding.whole_batch_size(config.eval.batch_size, mesh)
    logits, index = features.extract(embed, scored_batches(config, test_set, rows, ledger))
    protocol = Protocol(
        **options._asdict() | {"batch_size": batch_size},
        augment=config.augment,
        num_trained_parameters=_count(state.params),
        num_frozen_parameters=_count(state.variables["frozen"]),
        num_train=len(train_set.rows),
        num_test=len(index),
        num_test_unreadable=len(test_set.rows) - len(index),
        num_classes=num_classes,
        labels_per_image="one" if train_set.labels.ndim == 1 else "several",
        nonfinite_steps=int(state.nonfinite_steps),
        seed=config.seed,
    )
    whole = {**state.params, "image": joined(state.params, state.variables)}
    return FineTuned(
        logits, index, protocol, whole, {"batch_stats": state.variables["batch_stats"]}
    )


def _loss_of(config: ConfigDict, apply: Classifier, options: FineTuning) -> LossFn:
    """The loss of a stored batch: one augmented view of each image, then the objective."""
    objective = make_classification_objective(batch_statistics=options.batch_statistics)
    view = make_train_view(config)

    def loss_fn(
        params: Any, variables: Any, batch: dict[str, jax.Array], *, key: jax.Array, step: jax.Array
    ) -> Any:
        batch = {**batch, "view": view(named_key(key, "augment"), batch["image"])}
        return objective(params, variables, batch, apply=apply, key=key, step=step)

    return loss_fn


def _optimizer(whole: Any, trained: Any, options: FineTuning) -> optax.GradientTransformation:
    """Adam, its updates slowed down layer by layer.

    Args:
      whole: all parts of the encoder and the head, by which the depth of each is told.
      trained: {"image": the parts that train, "classifier": the head}.
      options: of the training.
    """
    schedule = make_schedule(
        learning_rate=options.learning_rate,
        warmup_steps=options.warmup_steps,
        schedule=options.schedule,
        num_steps=options.num_steps,
    )
    adam = make_optimizer(schedule, b1=0.9, weight_decay=options.weight_decay)
    rates = layer_rates(whole, options.layer_decay)
    image_rates = {part: rates[part] for part in trained["image"]}
    return optax.chain(
        adam, scale_by_rates({"image": image_rates, "classifier": rates["classifier"]})
    )


def _train(
    state: TrainState,
    batches: Iterator[dict[str, np.ndarray]],
    train_step: TrainStep,
    mesh: Mesh,
    *,
    options: FineTuning,
    report: Callable[[str], None],
) -> TrainState:
    split = sharding.split_over_data(mesh)
    first = next(batches)
    # Compiled ahead, so that rates and time left are those of the updates.
    jitted: Any = sharding.compile_step(train_step, mesh)
    compiled: TrainStep = jitted.lower(state, sharding.global_batch(first, split)).compile()
    hooks = Hooks(
        log=lambda step, row: report(metrics.progress_line(step, options.num_steps, row)),
        save=lambda *_: None,
        evaluate=lambda *_: None,
        should_stop=lambda _: False,
        save_bad_batch=lambda *_: None,
    )
    try:
        return train(
            state,
            (sharding.global_batch(batch, split) for batch in chain([first], batches)),
            compiled,
            hooks,
            num_steps=options.num_steps,
            batch_size=len(first["image"]),
            log_every=max(1, options.num_steps // _NUM_REPORTS),
            checkpoint_every=options.num_steps,
        )
    except NonFiniteError as error:
        raise ValueError(
            "fine-tuning diverged: got updates in a row with a loss or gradient that is not "
            f"finite, wanted finite ones; lower the learning rate {options.learning_rate:g}"
        ) from error


def _logits_of(
    config: ConfigDict, apply: Classifier, state: TrainState, mesh: Mesh
) -> Callable[[Any], jax.Array]:
    """Evaluation batch -> logits `[B, C]`."""
    view = make_plain_view(config.augment, config.model.image_size)
    split = sharding.split_over_data(mesh)

    @jax.jit
    def logits(params: Any, variables: Any, images: jax.Array) -> jax.Array:
        encoded, _ = apply.image(params, variables, view(images), train=False, key=None)
        return apply.classifier(params, encoded.global_features)

    return lambda batch: logits(
        state.params, state.variables, jax.device_put(batch["image"], split)
    )


def _count(tree: Any) -> int:
    return sum(leaf.size for leaf in jax.tree.leaves(tree))
