"""What an arm is worth: probe, neighbours, retrieval, mutual information, transfer."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from benchmarks.studies.training import Trained
from benchmarks.tvdim_claims.label_scores import labelled_images, score_labels
from benchmarks.tvdim_claims.pairs import (
    Pairs,
    held_out_nats,
    make_pairs,
    participation_ratio,
    summary,
)
from tvdim_jax.data.eval_batches import caption_table, make_eval_batches
from tvdim_jax.data.sources.base import Source
from tvdim_jax.evals import pixels
from tvdim_jax.evals.features import extract
from tvdim_jax.experiment.data import Splits
from tvdim_jax.experiment.encoders import GLOBAL, Embed, make_encoders, text_batches
from tvdim_jax.experiment.tasks import Images
from tvdim_jax.experiment.tasks.retrieval import score_retrieval

NUM_TRAIN_PAIRS = 512

EmbedTexts = Callable[[list[str]], np.ndarray]


def score_arm(
    config: ConfigDict,
    splits: Splits,
    trained: Trained,
    *,
    noise_index: np.ndarray | None,
    is_pixels: bool,
    has_one_label: bool,
    transfer: Mapping[str, Splits],
) -> dict[str, Any]:
    """Scores on the second part of the set; probe and neighbours learn from the first.

    Args:
      config: of the arm.
      splits: with the captions as they were written.
      trained: the encoders.
      noise_index: the row whose captions each training row had; None = its own.
      is_pixels: pixels and gradients instead of the encoder.
      has_one_label: images without a label do not count, scores are means over the classes, and
        few-shot probes are added; False: concepts, of which an image may have none.
      transfer: sets with one label an image that were not trained on.

    Returns:
      The results of `score_labels`; "participation_ratio" of the test features; "transfer", the
      same scores on other sets. With text also those of `score_texts` and `training_pairs`.
    """
    encoders = make_encoders(config, trained.model, trained.params, trained.variables)
    image = _pixels if is_pixels else encoders.image
    seed = config.seed

    def encode(parts: Splits) -> tuple[Images, Images]:
        train, test = (encode_images(config, image, part, encoders.batch_size) for part in parts)
        return train, test

    def score(images: tuple[Images, Images], parts: Splits, *, class_mean: bool) -> dict[str, Any]:
        train, test = images
        return score_labels(train, test, parts, seed=seed, class_mean=class_mean)

    train, test = images = encode(splits)
    if has_one_label:
        images = labelled_images(train, splits.train), labelled_images(test, splits.test)
    results = score(images, splits, class_mean=has_one_label)
    results["participation_ratio"] = participation_ratio(test.features[GLOBAL])
    results["transfer"] = {
        name: score(encode(parts), parts, class_mean=False) for name, parts in transfer.items()
    }
    text, tokenizer = encoders.text, trained.tokenizer
    if text is None or tokenizer is None:
        return results

    def embed(texts: list[str]) -> np.ndarray:
        return extract(text, text_batches(tokenizer, texts, encoders.batch_size))[0]

    margin = config.objective.margin
    results |= score_texts(test, splits.test, embed, margin)
    results["pairs"] |= training_pairs(train, splits.train, embed, margin, noise_index)
    return results


def encode_images(config: ConfigDict, image: Embed, source: Source, batch_size: int) -> Images:
    """Global features of all readable images of a source."""
    batches = make_eval_batches(
        source,
        image_size=config.data.image_size,
        batch_size=batch_size,
        num_threads=max(1, config.data.num_threads),
    )
    features, rows = extract(lambda batch: image(batch)[GLOBAL], batches)
    return Images(rows, {GLOBAL: features})


def score_texts(images: Images, source: Source, embed: EmbedTexts, margin: float) -> dict[str, Any]:
    """How held-out images and texts meet, by the cosine of the global vectors.

    Args:
      images: of the source.
      source: with captions.
      embed: texts -> features `[m, D]`.
      margin: see `summary`.

    Returns:
      "retrieval", recalls at 1, 5, 10 both ways beside chance; of the first text of each image
      "mi", see `held_out_nats`, and "pairs" with "test", see `summary`.
    """
    texts, text_rows = caption_table(source, images.rows.tolist())
    image_x, text_x = images.features[GLOBAL], embed(texts)
    _, first = np.unique(text_rows, return_index=True)
    has_text = np.isin(images.rows, text_rows)
    # The rows of both rise, so they are in one order.
    pairs = make_pairs(image_x[has_text], text_x[first], [texts[index] for index in first])
    return {
        "retrieval": score_retrieval(image_x, images.rows, text_x, text_rows).result,
        "mi": held_out_nats(pairs),
        "pairs": {"test": summary(pairs, margin)},
    }


def training_pairs(
    images: Images,
    source: Source,
    embed: EmbedTexts,
    margin: float,
    noise_index: np.ndarray | None,
) -> dict[str, Any]:
    """Whether what was trained is what was learned, on the first `NUM_TRAIN_PAIRS` images.

    Args:
      images: of the source.
      source: with the captions as they were written.
      embed: texts -> features `[m, D]`.
      margin: see `summary`.
      noise_index: the row whose captions each row had in training; None = its own.

    Returns:
      "train", the summary of images with their own captions, whatever they had in training; where
      captions were swapped also "swapped", mean cosines of those images with a caption that they
      had in training ("given") and with one of their own ("own").
    """
    told = [bool(source.captions(row)) for row in images.rows.tolist()]
    places = np.flatnonzero(told)[:NUM_TRAIN_PAIRS]
    rows, features = images.rows[places], images.features[GLOBAL][places]

    def pairs_with(donors: np.ndarray) -> Pairs:
        texts = [(source.captions(row) or [""])[0] for row in donors.tolist()]
        return make_pairs(features, embed(texts), texts)

    own = pairs_with(rows)
    found: dict[str, Any] = {"train": summary(own, margin)}
    if noise_index is not None and (is_swapped := noise_index[rows] != rows).any():
        given = pairs_with(noise_index[rows])
        found["swapped"] = {
            name: float(np.diagonal(pairs.cosines)[is_swapped].mean())
            for name, pairs in (("given", given), ("own", own))
        }
    return found


def _pixels(batch: Mapping[str, Any]) -> dict[str, np.ndarray]:
    return {GLOBAL: pixels.pixels_and_gradients(batch["image"])}
