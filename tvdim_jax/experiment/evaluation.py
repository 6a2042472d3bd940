"""The evaluation of one encoder: features of both splits, then each task on them."""

import functools
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from ml_collections import ConfigDict

from tvdim_jax.config import uses_sentences
from tvdim_jax.data.bad_examples import BadExamples
from tvdim_jax.data.eval_batches import (
    caption_table,
    class_names,
    labels_matrix,
    make_eval_batches,
)
from tvdim_jax.data.sources.base import Source
from tvdim_jax.data.tokenizer import Tokenizer
from tvdim_jax.evals import features, knn, linear_probe, pixels, retrieval
from tvdim_jax.evals.labelled import LabelledFeatures
from tvdim_jax.experiment.data import Splits
from tvdim_jax.experiment.model import Model
from tvdim_jax.experiment.views import make_plain_view
from tvdim_jax.train.sharding import make_mesh, replicated, split_over_data

Embed = Callable[[Mapping[str, Any]], Any]
Result = dict[str, Any]
NUM_NEIGHBORS = 20  # of kNN, or the whole training part where it is smaller


class EvaluationError(RuntimeError):
    """Features or labels that no task can score; its text is one line."""


class Encoders(NamedTuple):
    """Trained or untrained encoders, ready for host arrays.

    Attributes:
      batch_size: rows of a batch; it divides by the local devices, over which it is split.
      image: batch with "image" `[B, S, S, C]`, as stored -> global features `[B, D]`.
      text: batch with "token_ids", "token_valid" `[B, T]` -> `[B, D]`; None without text.
    """

    batch_size: int
    image: Embed
    text: Embed | None


def make_encoders(config: ConfigDict, model: Model, params: Any, variables: Any) -> Encoders:
    """The encoders in evaluation mode, on the devices of this process."""
    embed_image, embed_text = _compiled(model, config.augment, config.model.image_size)
    mesh = make_mesh(jax.local_devices())
    batch_size = math.ceil(config.eval.batch_size / mesh.size) * mesh.size
    rows, whole = split_over_data(mesh), replicated(mesh)
    params, variables = jax.device_put((params, variables), whole)

    def image(batch: Mapping[str, Any]) -> jax.Array:
        return embed_image(params, variables, jax.device_put(batch["image"], rows))

    if embed_text is None:
        return Encoders(batch_size, image, None)

    def text(batch: Mapping[str, Any]) -> jax.Array:
        ids, valid = jax.device_put((batch["token_ids"], batch["token_valid"]), rows)
        return embed_text(params, variables, ids, valid)

    return Encoders(batch_size, image, text)


@functools.lru_cache(maxsize=1)  # one compilation serves all evaluations of a run
def _compiled(
    model: Model, augment: str, image_size: int
) -> tuple[Callable[..., jax.Array], Callable[..., jax.Array] | None]:
    """(params, variables, a batch's arrays) -> global features, of images and of texts."""
    view = make_plain_view(augment, image_size)

    @jax.jit
    def embed_image(params: Any, variables: Any, images: jax.Array) -> jax.Array:
        return model.image(params, variables, view(images), train=False, key=None)[0][0]

    if model.text is None:
        return embed_image, None
    encode_text = model.text

    @jax.jit
    def embed_text(params: Any, variables: Any, ids: jax.Array, valid: jax.Array) -> jax.Array:
        return encode_text(params, variables, ids, valid, train=False, key=None)[0][0]

    return embed_image, embed_text


def evaluate(
    encoders: Encoders,
    splits: Splits,
    tokenizer: Tokenizer | None,
    config: ConfigDict,
    *,
    tasks: Sequence[str],
    ledger: BadExamples | None = None,
) -> dict[str, Result]:
    """Runs the tasks on the features of one pair of encoders.

    Args:
      encoders: what turns batches into features.
      splits: the sources.
      tokenizer: of the run; None without text.
      config: of the run; sizes of the splits and of the images.
      tasks: some of linear_probe, knn, retrieval; retrieval is left out without text, and for lmi,
        whose features meet in a critic and not by cosine.
      ledger: gets the images that could not be read and do not count.

    Returns:
      Task -> result with its `metrics` and its protocol.

    Raises:
      EvaluationError: no readable image, features that are not finite, too few labels.
    """
    retrieves = encoders.text is not None and not uses_sentences(config)
    wanted = [task for task in tasks if task != "retrieval" or retrieves]
    if not wanted:
        return {}
    try:
        return _score(encoders, splits, tokenizer, config, tasks=wanted, ledger=ledger)
    except ValueError as error:
        raise EvaluationError(f"cannot evaluate: {error}") from error


def _score(
    encoders: Encoders,
    splits: Splits,
    tokenizer: Tokenizer | None,
    config: ConfigDict,
    *,
    tasks: Sequence[str],
    ledger: BadExamples | None,
) -> dict[str, Result]:
    def extract(source: Source, limit: int) -> tuple[np.ndarray, np.ndarray]:
        batches = _batches(
            source, config, limit, encoders.batch_size, ledger, grey=config.data.grey
        )
        return features.extract(encoders.image, batches)

    test_x, test_rows = extract(splits.test, config.eval.num_test_examples)
    results: dict[str, Result] = {}
    if {"linear_probe", "knn"} & set(tasks):
        train = extract(splits.train, config.eval.num_train_examples)
        results = score_labels(train, (test_x, test_rows), splits, tasks, seed=config.seed)
    if "retrieval" in tasks and encoders.text is not None and tokenizer is not None:
        texts, text_rows = caption_table(splits.test, test_rows.tolist())
        if texts:
            batches = text_batches(tokenizer, texts, encoders.batch_size)
            text_x, _ = features.extract(encoders.text, batches)
            results["retrieval"] = score_retrieval(test_x, test_rows, text_x, text_rows)
    return results


def score_labels(
    train: tuple[np.ndarray, np.ndarray],
    test: tuple[np.ndarray, np.ndarray],
    splits: Splits,
    tasks: Sequence[str],
    *,
    seed: int,
) -> dict[str, Result]:
    """Linear probe and kNN of features `[n, D]` with their row numbers `[n]`.

    Sources without labels have no such results.
    """
    train_rows, test_rows = train[1].tolist(), test[1].tolist()
    occurring = [class_names(splits.train, train_rows), class_names(splits.test, test_rows)]
    if not all(occurring):
        return {}
    names = sorted(set.union(*occurring))
    fitted = LabelledFeatures(train[0], *labels_matrix(splits.train, train_rows, names))
    scored = LabelledFeatures(test[0], *labels_matrix(splits.test, test_rows, names))
    if _has_one_label(fitted) and _has_one_label(scored):
        fitted, scored = (
            LabelledFeatures(part.features, part.labels.argmax(axis=1)) for part in (fitted, scored)
        )
    results = {}
    if "linear_probe" in tasks:
        probe = linear_probe.evaluate(fitted, scored, seed=seed)
        results["linear_probe"] = _record(probe._asdict())
    if "knn" in tasks:
        num_neighbors = min(NUM_NEIGHBORS, len(train_rows))
        nearest = knn.evaluate(fitted, scored, num_neighbors=num_neighbors)
        results["knn"] = _record(nearest._asdict())
    return results


def _has_one_label(part: LabelledFeatures) -> bool:
    """Whether each image has exactly one label, known for sure: a classification."""
    return bool((part.labels.sum(axis=1) == 1).all() and np.all(part.where))


def _record(result: Result) -> Result:
    """The metric by its name, the rest as the protocol."""
    metric, value = result.pop("metric"), result.pop("value")
    return {"metrics": {metric: value}, **result}


def score_retrieval(
    image_x: np.ndarray, image_rows: np.ndarray, text_x: np.ndarray, text_rows: np.ndarray
) -> Result:
    """Recall at 1, 5, 10 both ways, with the set's size and chance beside it."""
    position = {row: index for index, row in enumerate(image_rows)}
    text_image = np.array([position[row] for row in text_rows])
    return {
        "metrics": retrieval.recall_at_k(image_x, text_x, text_image),
        "chance": retrieval.chance_recall_at_k(len(image_rows), text_image),
        "num_images": len(image_rows),
        "num_texts": len(text_rows),
    }


def pixel_baselines(splits: Splits, config: ConfigDict, tasks: Sequence[str]) -> dict[str, Any]:
    """The same probes on pixels: name of the features -> task -> result."""
    results = {}
    for name, embed in (
        ("raw pixels", pixels.raw_pixels),
        ("pixels + gradients", pixels.pixels_and_gradients),
    ):
        sets = []
        for source, limit in (
            (splits.train, config.eval.num_train_examples),
            (splits.test, config.eval.num_test_examples),
        ):
            batches = _batches(source, config, limit, config.eval.batch_size, grey=False)
            sets.append(features.extract(_of_images(embed), batches))
        results[name] = score_labels(sets[0], sets[1], splits, tasks, seed=config.seed)
    return results


def _of_images(embed: Callable[[np.ndarray], np.ndarray]) -> Embed:
    return lambda batch: embed(batch["image"])


def _batches(
    source: Source,
    config: ConfigDict,
    limit: int,
    batch_size: int,
    ledger: BadExamples | None = None,
    *,
    grey: bool,
) -> Iterable[Any]:
    return make_eval_batches(
        source,
        image_size=config.data.image_size,
        batch_size=batch_size,
        grey=grey,
        limit=limit,
        ledger=ledger,
        num_threads=max(1, config.data.num_threads),
    )


def text_batches(
    tokenizer: Tokenizer, texts: Sequence[str], batch_size: int
) -> Iterable[dict[str, np.ndarray]]:
    """Token batches of equal size; the last one is filled up with rows that do not count."""
    for start in range(0, len(texts), batch_size):
        part = list(texts[start : start + batch_size])
        ids, valid = tokenizer.encode(part + [""] * (batch_size - len(part)))
        where = np.arange(batch_size) < len(part)
        rows = np.arange(start, start + batch_size)
        yield {"token_ids": ids, "token_valid": valid, "image_id": rows, "where": where}
