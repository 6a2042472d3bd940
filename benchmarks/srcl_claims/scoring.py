"""What the nets of an arm learned: retrieval of classes and of instances, a probe, the weights."""

from typing import Any

import numpy as np

from benchmarks.srcl_claims.arms import Arm
from benchmarks.srcl_claims.descriptions import Described, is_true, shorten
from benchmarks.srcl_claims.networks import Params, cosines, embed_images, embed_texts, hidden
from tvdim_jax.evals import linear_probe
from tvdim_jax.evals.auc import roc_auc
from tvdim_jax.evals.labelled import LabelledFeatures
from tvdim_jax.evals.retrieval import recall_at_k
from tvdim_jax.losses import similarity_weights

EDGES = (*np.round(np.arange(0, 2.01, 0.1), 1).tolist(), float("inf"))  # of the histogram


def score(params: Params, train: Described, test: Described, *, seed: int) -> dict[str, float]:
    """Shares in [0, 1] of one seed.

    Args:
      params: trained.
      train: the probe learns from it.
      test: is scored, with whole descriptions.
      seed: of the probe's validation part.

    Returns:
      "r_precision": mean of both ways, see `r_precision`; "recall_at_1": of the very partner, mean
      of both ways; "probe": accuracy of a linear probe of the image net's hidden layer for the
      class.
    """
    images, texts = embed_images(params, test.images), embed_texts(params, test.words)
    recall = recall_at_k(np.asarray(images), np.asarray(texts), np.arange(len(texts)), ks=(1,))
    fitted, scored = (
        LabelledFeatures(np.asarray(hidden(params["image"], part.images)), part.classes)
        for part in (train, test)
    )
    scores = np.asarray(images @ texts.T)
    ways = [r_precision(matrix, test.classes) for matrix in (scores, scores.T)]
    return {
        "r_precision": float(np.mean(ways)),
        "recall_at_1": float(np.mean([*recall.values()])),
        "probe": float(linear_probe.evaluate(fitted, scored, seed=seed).value),
    }


def r_precision(scores: np.ndarray, classes: np.ndarray) -> float:
    """Share of a query's R best candidates that are of its class, of which there are R; the mean.

    Args:
      scores: `[n, n]`, queries by candidates.
      classes: int `[n]`, of both.
    """
    order = np.argsort(-scores, axis=1, kind="stable")
    hits = classes[order] == classes[:, None]
    counts = (classes[:, None] == classes[None, :]).sum(axis=1)
    is_best = np.arange(len(classes)) < counts[:, None]
    return float((hits & is_best).sum(axis=1).astype(float) @ (1 / counts) / len(classes))


def weigh(
    arm: Arm,
    params: Params,
    teacher: Params,
    test: Described,
    *,
    share: float,
    batch_size: int,
    seed: int,
) -> dict[str, dict[str, Any]]:
    """The weights of an arm's rule in batches of new scenes, images as anchors.

    Args:
      arm: the rule.
      params: trained.
      teacher: the seed's.
      test: scenes, of which some are described in short.
      share: of the short descriptions.
      batch_size: images of a batch, over which weights are normalised.
      seed: of the batches.

    Returns:
      By the similarity of the "teacher" and by the trained nets' "own": "false" and "true", counts
      by the bins of `EDGES` of the negatives whose description holds and of those whose does not;
      "mean_false", mean weight of the former; "auc", chance that a false negative weighs less than
      a true one. The last two are None without false negatives.
    """
    rng = np.random.default_rng(seed)
    num_batches = len(test.images) // batch_size
    rows = rng.permutation(len(test.images))[: num_batches * batch_size]
    found: dict[str, list[np.ndarray]] = {"teacher": [], "own": []}
    false = []
    others = ~np.eye(batch_size, dtype=bool)
    for batch in np.split(rows, num_batches):
        said = shorten(test.words[batch], np.flatnonzero(rng.random(batch_size) < share))
        false.append(is_true(test.words[batch], said)[others])
        for name, nets in (("teacher", teacher), ("own", params)):
            similarity = cosines(nets, test.images[batch], said)
            weights = similarity_weights(similarity, norm=arm.norm, delta=arm.delta)
            found[name].append(np.asarray(weights)[others])
    is_false = np.concatenate(false)
    return {name: _describe(np.concatenate(parts), is_false) for name, parts in found.items()}


def _describe(weights: np.ndarray, is_false: np.ndarray) -> dict[str, Any]:
    has_both = is_false.any()
    return {
        "false": np.histogram(weights[is_false], EDGES)[0].tolist(),
        "true": np.histogram(weights[~is_false], EDGES)[0].tolist(),
        "mean_false": float(weights[is_false].mean()) if has_both else None,
        "auc": roc_auc(-weights, is_false) if has_both else None,
    }
