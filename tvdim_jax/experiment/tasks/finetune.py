"""The whole image encoder trains on labels, from the weights of the run and from fresh ones."""

import numpy as np
from ml_collections import ConfigDict

from tvdim_jax.data.bad_examples import BadExamples
from tvdim_jax.evals.accuracy import class_mean_accuracy
from tvdim_jax.evals.findings import score_findings
from tvdim_jax.evals.label_policy import apply_policy
from tvdim_jax.evals.labelled import one_sided_classes
from tvdim_jax.experiment.data import Splits
from tvdim_jax.experiment.encoders import GLOBAL
from tvdim_jax.experiment.finetune import FineTuned, finetune_classifier
from tvdim_jax.experiment.finetune_protocol import chosen_protocol
from tvdim_jax.experiment.labelled_images import LabelledImages
from tvdim_jax.experiment.tasks.base import Context, Examples, Outcome, Task
from tvdim_jax.experiment.tasks.findings import (
    counts_and_note,
    examples_of,
    findings_of,
    is_one_class,
    means_of,
    missing_values,
    policy_of,
    rows_of_means,
    with_policy,
)
from tvdim_jax.experiment.tasks.labels import labelled_parts
from tvdim_jax.models.image.resnet import LMIResNet
from tvdim_jax.models.variants import make_image_encoder

_FROZEN = "lmi_frozen"


def _missing(config: ConfigDict, splits: Splits) -> str | None:
    encoder = make_image_encoder(config.model.image, image_size=config.model.image_size)
    if config.eval.finetune_protocol == _FROZEN and not (
        isinstance(encoder, LMIResNet) and len(encoder.stage_widths) == 6
    ):
        return (
            f"config.eval.finetune_protocol={_FROZEN!r} freezes stages 1 to 5 of "
            f"resnet256_6_2_1, which {config.model.image} has not; take 'default' or 'lmi_tuned'"
        )
    return missing_values(config, splits)


def _finetune(context: Context) -> Outcome:
    if is_one_class(context.config, context.splits):
        return _one_class(context)
    return _findings(context)


def _one_class(context: Context) -> Outcome:
    """Accuracy, where each image has one label."""
    fitted, scored = labelled_parts(context.train, context.test, context.splits)
    tuned, rows = _tuned(context, (fitted.labels, None), (scored.labels, None))
    labels, best = scored.labels[tuned.test_index], tuned.logits.argmax(axis=1)
    right = (best == labels)[:, None]
    metrics = {
        "accuracy": float(right.mean()),
        "class_mean_accuracy": class_mean_accuracy(best, labels),
    }
    name = context.config.eval.finetune_protocol
    result = {
        "metrics": metrics,
        "details": {name: metrics},
        "protocol": tuned.protocol._asdict(),
        "note": _note(tuned),
    }
    examples = Examples(rows, ("accuracy",), right, None, np.ones_like(right))
    return Outcome(result, {name: examples})


def _findings(context: Context) -> Outcome:
    """AUROC of each of several labels under the policy of the config, as the task findings."""
    images = context.train.rows.tolist(), context.test.rows.tolist()
    names, fitted_marks, marks = findings_of(context.splits, *images)
    policy = policy_of(context.config, context.splits.test)
    fitted = with_policy(context.train.features[GLOBAL], fitted_marks, policy)
    tuned, rows = _tuned(context, apply_policy(fitted_marks, policy), apply_policy(marks, policy))
    marks = marks[tuned.test_index]
    found = score_findings(
        tuned.logits, marks, names, policy=policy, classes_skipped=one_sided_classes(fitted)
    )
    name = context.config.eval.finetune_protocol
    beside = counts_and_note(context.config, found)
    means = means_of(context.config, found)
    result = {
        "metrics": means,
        "details": {name: {**found.aucs, **rows_of_means(means)}},
        **found._asdict(),
        **beside,
        "protocol": tuned.protocol._asdict(),
        "note": f"{beside['note']}; {_note(tuned)}",
    }
    examples = examples_of(rows, tuned.logits, apply_policy(marks, policy), found)
    return Outcome(result, {name: examples})


def _tuned(
    context: Context,
    fitted: tuple[np.ndarray, np.ndarray | None],
    scored: tuple[np.ndarray, np.ndarray | None],
) -> tuple[FineTuned, np.ndarray]:
    """The trained classifier, and the rows of the test images that it was applied to.

    Args:
      context: of the task.
      fitted: labels of the training images and where they are known.
      scored: of the test images.
    """
    config, (train, test) = context.config, context.splits
    if context.encoders is None or context.encoders.weights is None:
        raise ValueError("fine-tuning needs an encoder that trains; leave the task out")
    options = chosen_protocol(
        config.eval.finetune_protocol,
        len(context.train.rows),
        epochs=config.eval.finetune_epochs,
        learning_rate=config.eval.finetune_learning_rate,
    )
    tuned = finetune_classifier(
        config,
        *context.encoders.weights,
        train_set=LabelledImages(train, context.train.rows, *fitted),
        test_set=LabelledImages(test, context.test.rows, *scored),
        options=options,
        ledger=BadExamples(),  # the features were read from these images: all of them are good
        report=context.report,
    )
    return tuned, context.test.rows[tuned.test_index]


def _note(tuned: FineTuned) -> str:
    did = tuned.protocol
    return (
        f"{did.num_steps:,} updates of {did.batch_size} images at rate {did.learning_rate:g}, "
        f"{did.num_trained_parameters:,} parameters trained and {did.num_frozen_parameters:,} "
        f"frozen; {did.num_train:,} training and {did.num_test:,} test images"
    )


FINETUNE = Task(
    does="labels by the whole encoder, trained on them (slow)",
    run=_finetune,
    missing=_missing,
    train=(GLOBAL,),
    test=(GLOBAL,),
    takes_pixels=False,
)
