"""Images are told apart by texts that name their classes, without any label to learn from."""

from collections.abc import Sequence

import numpy as np
from ml_collections import ConfigDict

from tvdim_jax.config import reads_grey, uses_sentences, uses_text
from tvdim_jax.data.eval_batches import class_names
from tvdim_jax.evals import zero_shot
from tvdim_jax.evals.average_precision import mean_average_precision
from tvdim_jax.evals.features import extract
from tvdim_jax.evals.label_policy import apply_policy, policy_text
from tvdim_jax.evals.labelled import LabelledFeatures
from tvdim_jax.experiment.data import Splits
from tvdim_jax.experiment.encoders import EMBEDDING, GLOBAL, comparable, text_batches
from tvdim_jax.experiment.tasks.base import (
    Context,
    Examples,
    Outcome,
    Task,
    first_rows,
    limits,
    record,
)
from tvdim_jax.experiment.tasks.findings import marks_matrix, policy_of
from tvdim_jax.experiment.tasks.labels import has_one_label


def _missing(config: ConfigDict, splits: Splits) -> str | None:
    if not uses_text(config):
        return "the run has no text encoder"
    if uses_sentences(config):
        return "images and texts of lmi meet in a critic, not by cosine"
    rows = first_rows(config, splits.test, config.eval.num_test_examples)
    if not class_names(splits.test, rows):
        return f"the test part of {splits.test.name} has no labels"
    return None


def _classes(config: ConfigDict, splits: Splits) -> set[str]:
    """Those of both parts: to leave out what no test image shows would be told by its labels."""
    rows = (first_rows(config, *part) for part in zip(splits, limits(config), strict=True))
    return set[str]().union(*map(class_names, splits, rows))


def _zero_shot(context: Context) -> Outcome:
    config, source, test = context.config, context.splits.test, context.test
    encoders, tokenizer = context.encoders, context.tokenizer
    if encoders is None or encoders.text is None or tokenizer is None:
        raise ValueError("zero-shot needs a text encoder; leave the task out")
    of_text, batch_size = encoders.text, encoders.batch_size

    def embed_texts(texts: Sequence[str]) -> np.ndarray:
        return extract(of_text, text_batches(tokenizer, texts, batch_size))[0]

    names = sorted(_classes(config, context.splits))
    policy = policy_of(config, source)
    known = apply_policy(marks_matrix(source, test.rows.tolist(), names), policy)
    images = LabelledFeatures(comparable(test.features), *known)
    one_label = has_one_label(images)
    if one_label:
        images = LabelledFeatures(images.features, images.labels.argmax(axis=1))
    templates = tuple(config.eval.templates) or (
        zero_shot.XRAY_TEMPLATES if reads_grey(config) else zero_shot.PHOTO_TEMPLATES
    )
    words = [name.replace("_", " ").lower() for name in names]
    found, scores = zero_shot.predict(images, embed_texts, words, templates=templates)
    result = record(found._asdict())
    if not one_label:
        result["metrics"]["mAP"] = mean_average_precision(
            scores, *known, classes_skipped=found.classes_skipped
        )
    result["details"] = {"by cosine": dict(result["metrics"])}
    if one_label:
        result["details"]["by cosine"]["class_mean_accuracy"] = found.class_mean_accuracy
        result["chance"] = {"accuracy": 1 / len(names)}
        right = (scores.argmax(axis=1) == images.labels)[:, None]
        examples = Examples(test.rows, ("accuracy",), right, None, np.ones_like(right))
    else:
        kept = np.setdiff1d(np.arange(len(names)), found.classes_skipped)
        columns = (array[:, kept] for array in (scores, *known))
        examples = Examples(test.rows, tuple(names[each] for each in kept), *columns)
    policy_said = "" if one_label else f"; {policy_text(policy)}"
    result["note"] = (
        f"{len(names)} classes in {len(templates)} templates, the first "
        f"{templates[0].replace('{}', words[0])!r}; {found.num_test:,} images{policy_said}"
    )
    return Outcome(result, {"cosine": examples})


ZERO_SHOT = Task(
    does="labels by texts that name them, by cosine",
    run=_zero_shot,
    missing=_missing,
    train=(),
    test=(GLOBAL, EMBEDDING),
    takes_pixels=False,
)
