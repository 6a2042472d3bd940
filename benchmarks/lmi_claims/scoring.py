"""What a trained arm is worth: linear probe, retrieval and the pointing game."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from benchmarks.lmi_claims.arms import FIELD_PIXELS
from benchmarks.lmi_claims.sets import SceneSentences
from benchmarks.studies.training import Trained
from tvdim_jax.critics import make_pair_critic
from tvdim_jax.data.eval_batches import make_eval_batches
from tvdim_jax.data.reports import report_sentences
from tvdim_jax.data.sentences import sentence_table
from tvdim_jax.data.sources.base import Source
from tvdim_jax.data.tokenizer import Tokenizer
from tvdim_jax.evals import linear_probe
from tvdim_jax.evals.features import extract
from tvdim_jax.evals.pointing import centre_hits, chance_hits, pointing_hits
from tvdim_jax.evals.retrieval import chance_recall_at_k, recall_at_k_by_scores
from tvdim_jax.experiment import tasks
from tvdim_jax.experiment.data import Splits
from tvdim_jax.experiment.encoders import GLOBAL, Embed, make_encoders, text_batches
from tvdim_jax.experiment.tasks.labels import labelled_parts
from tvdim_jax.experiment.views import make_plain_view
from tvdim_jax.losses.local import pool_regions

TILE = 32  # images and reports of a tile of scores: the critic has a hidden layer on each pair
BATCH_OF_DEVICE = 128  # sentences that a device encodes at a time

ScoreTile = Callable[[np.ndarray, np.ndarray], jax.Array]


class Images(NamedTuple):
    """Global vectors `[n, D]` and regions `[n, R, D]` of n images, and their rows in the source."""

    whole: np.ndarray
    regions: np.ndarray
    rows: np.ndarray


class Reports(NamedTuple):
    """Sentence vectors `[n, S, D]` of n reports, and which are real, bool `[n, S]`."""

    sentences: np.ndarray
    said: np.ndarray


def score_arm(config: ConfigDict, splits: Splits, trained: Trained) -> dict[str, Any]:
    """Scores on the second part of the set; the probe learns from the first.

    Returns:
      "probe": metric of the global vector ("global") and of the mean over the regions ("regions").
      With text also "retrieval": recalls between images and whole reports by each critic that the
      arm trained, "local" and "global", and by the sum of both; and "pointing", on scenes by a
      local critic.
    """
    test = encode_images(config, trained, splits.test, config.eval.num_test_examples)
    train = encode_images(config, trained, splits.train, config.eval.num_train_examples)
    result: dict[str, Any] = {"probe": {}}
    for name in ("global", "regions"):
        fitted, scored = (
            tasks.Images(part.rows, {GLOBAL: _vectors(part, name)}) for part in (train, test)
        )
        probe = linear_probe.evaluate(*labelled_parts(fitted, scored, splits), seed=config.seed)
        result["probe"][name] = {probe.metric: probe.value}
    text = make_encoders(config, trained.model, trained.params, trained.variables).text
    if text is None or trained.tokenizer is None:
        return result
    reports = encode_reports(config, text, trained.tokenizer, splits.test, test.rows)
    rows = np.arange(len(test.rows))
    result["retrieval"] = {
        name: recall_at_k_by_scores(score, len(rows), rows, block_size=TILE)
        for name, score in critic_scores(config, trained.params["critics"], test, reports).items()
    }
    result["retrieval"]["chance"] = chance_recall_at_k(len(rows), rows)
    if isinstance(splits.test, SceneSentences) and config.objective.local_weight:
        maps = sentence_maps(config, trained.params["critics"]["local"], test, reports)
        result["pointing"] = score_pointing(maps, splits.test, test.rows, config.data.image_size)
    return result


def _vectors(images: Images, name: str) -> np.ndarray:
    return images.whole if name == "global" else images.regions.mean(axis=1)


def encode_images(config: ConfigDict, trained: Trained, source: Source, limit: int) -> Images:
    """Features of the first rows of a source, in evaluation mode."""
    view = make_plain_view(config.augment, config.model.image_size)

    @jax.jit
    def encode(params: Any, variables: Any, images: jax.Array) -> tuple[jax.Array, jax.Array]:
        features, _ = trained.model.image(params, variables, view(images), train=False, key=None)
        regions = features.local_features[config.objective.region_map]
        return features.global_features, regions.reshape(len(images), -1, regions.shape[-1])

    found = []
    for batch in make_eval_batches(
        source, image_size=config.data.image_size, batch_size=config.eval.batch_size, limit=limit
    ):
        whole, regions = encode(trained.params, trained.variables, batch["image"])
        each = Images(np.asarray(whole), np.asarray(regions), batch["image_id"])
        found.append(Images(*(array[batch["where"]] for array in each)))
    return Images(*(np.concatenate(arrays) for arrays in zip(*found, strict=True)))


def encode_reports(
    config: ConfigDict, text: Embed, tokenizer: Tokenizer, source: Source, rows: np.ndarray
) -> Reports:
    """Sentence vectors of the reports of some rows; each different sentence is encoded once."""
    max_sentences = config.data.max_sentences
    texts = [report_sentences(source.captions(int(row)), max_sentences) for row in rows]
    table = sentence_table(texts, max_sentences)
    batch_size = jax.local_device_count() * BATCH_OF_DEVICE
    vectors, _ = extract(text, text_batches(tokenizer, table.texts, batch_size))
    index = table.sentence_index
    return Reports(vectors[np.maximum(index, 0)], index >= 0)


def critic_scores(
    config: ConfigDict, params: Any, images: Images, reports: Reports
) -> dict[str, ScoreTile]:
    """The scores of images and reports by the critics that the arm trains, and by their sum.

    Global: the image's vector and the mean of the report's sentences. Local: the mean over the
    sentences of the best region's score. So both are what training pairs.
    """
    critic = make_pair_critic(config.model.critic, config.model.critic_hidden)
    num_said = np.maximum(reports.said.sum(axis=1), 1)[:, None]
    means = np.where(reports.said[:, :, None], reports.sentences, 0).sum(axis=1) / num_said

    @jax.jit
    def score_global(params: Any, whole: jax.Array, means: jax.Array) -> jax.Array:
        return critic.score(params, *critic.project(params, whole, means))

    @jax.jit
    def score_local(
        params: Any, regions: jax.Array, sentences: jax.Array, said: jax.Array
    ) -> jax.Array:
        (n, num_regions, _), (m, num_said, _) = regions.shape, sentences.shape
        sides = (each.reshape(-1, each.shape[-1]) for each in (regions, sentences))
        scores = critic.score(params, *critic.project(params, *sides))
        scores = scores.reshape(n, num_regions, m, num_said)
        real = jnp.ones((1, num_regions, 1, 1), bool)
        pooled = pool_regions(scores, real, config.objective.region_pool)
        pooled = jnp.where(said[None], pooled, 0).sum(axis=2)
        return pooled / jnp.maximum(said.sum(axis=1), 1)[None]

    def of_global(i: np.ndarray, j: np.ndarray) -> jax.Array:
        return score_global(params["global"], images.whole[i], means[j])

    def of_local(i: np.ndarray, j: np.ndarray) -> jax.Array:
        pairs = images.regions[i], reports.sentences[j], reports.said[j]
        return score_local(params["local"], *pairs)

    objective = config.objective
    scores: dict[str, ScoreTile] = {}
    if objective.global_weight:
        scores["global"] = of_global
    if objective.local_weight:
        scores["local"] = of_local
    if len(scores) == 2:
        scores["sum"] = lambda i, j: of_global(i, j) + of_local(i, j)
    return scores


def sentence_maps(config: ConfigDict, params: Any, images: Images, reports: Reports) -> np.ndarray:
    """Scores of all regions of each image for each sentence of its own report, `[n, S, h, h]`."""
    critic = make_pair_critic(config.model.critic, config.model.critic_hidden)
    score = jax.jit(lambda params, x, y: critic.score(params, *critic.project(params, x, y)).T)
    maps = [score(params, x, y) for x, y in zip(images.regions, reports.sentences, strict=True)]
    height = config.objective.region_map
    return np.asarray(maps).reshape(*reports.said.shape, height, height)


def score_pointing(
    maps: np.ndarray, source: SceneSentences, rows: np.ndarray, image_size: int
) -> dict[str, float]:
    """The pointing game of both objects of each scene.

    Args:
      maps: `[n, 2, h, h]`, of the sentences of the main and of the second object.
      source: of the boxes.
      rows: `[n]`, of the scenes.
      image_size: pixels of a side.

    Returns:
      "hits", share of objects; the same of the main objects ("main") and of the second ones
      ("second"); "swapped", where the scene's other sentence is read, so what looking at any object
      is worth; "chance", mean share of the image that the box covers; "centre", always pointing
      there.
    """
    boxes = np.array([[box for _, box in source.boxes(int(row))] for row in rows])
    flat = boxes.reshape(-1, 4)

    def hits(maps: np.ndarray) -> np.ndarray:
        maps = maps.reshape(-1, *maps.shape[2:])
        return pointing_hits(maps, flat, image_size, FIELD_PIXELS).reshape(len(rows), 2)

    right, swapped = hits(maps), hits(maps[:, ::-1])
    return {
        "hits": float(right.mean()),
        "main": float(right[:, 0].mean()),
        "second": float(right[:, 1].mean()),
        "swapped": float(swapped.mean()),
        "chance": float(chance_hits(flat, image_size).mean()),
        "centre": float(centre_hits(flat, image_size).mean()),
    }
