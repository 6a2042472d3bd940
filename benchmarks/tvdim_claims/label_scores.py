"""Linear probe, nearest neighbours and few-shot probes of frozen features."""

from typing import Any

import numpy as np

from tvdim_jax.data.eval_batches import class_names
from tvdim_jax.data.sources.base import Source
from tvdim_jax.evals import few_shot, knn, linear_probe
from tvdim_jax.evals.auc import class_aucs
from tvdim_jax.evals.labelled import known_entries
from tvdim_jax.experiment.data import Splits
from tvdim_jax.experiment.encoders import GLOBAL
from tvdim_jax.experiment.tasks import Images
from tvdim_jax.experiment.tasks.labels import NUM_NEIGHBORS, labelled_parts

SHOTS = (1, 5, 10)
NUM_DRAWS = 10
# For classes of unequal size also weak ones: at 0.1 the validation score may still rise.
CLASS_MEAN_PENALTIES = (*linear_probe.PENALTIES, 1e-2, 1e-3)


def score_labels(
    train: Images, test: Images, splits: Splits, *, seed: int, class_mean: bool
) -> dict[str, Any]:
    """Fits on the first part and scores the second.

    Args:
      train: global features of the first part.
      test: of the second part.
      splits: with the labels.
      seed: of the probe's validation split and of the few-shot draws.
      class_mean: of sets with one label an image, whose classes are of unequal size: all scores
        are means over the classes, and "few_shot" is added.

    Returns:
      "classes", their names; "probe" and "knn", each with its metric, value and protocol; of
      several labels the probe also has "class_aucs". Ambiguous labels are masked.
    """
    rows = train.rows.tolist(), test.rows.tolist()
    classes = sorted(class_names(splits.train, rows[0]) | class_names(splits.test, rows[1]))
    fitted, scored = labelled_parts(train, test, splits)
    penalties = CLASS_MEAN_PENALTIES if class_mean else linear_probe.PENALTIES
    probe, logits = linear_probe.predict(
        fitted, scored, penalties=penalties, class_mean=class_mean, seed=seed
    )
    neighbors = min(NUM_NEIGHBORS, len(fitted.features))
    nearest = knn.evaluate(fitted, scored, num_neighbors=neighbors, class_mean=class_mean)
    found: dict[str, Any] = {
        "classes": classes,
        "probe": probe._asdict(),
        "knn": nearest._asdict(),
    }
    if scored.labels.ndim == 2:
        aucs = class_aucs(logits, scored.labels, known_entries(scored)).tolist()
        found["probe"]["class_aucs"] = dict(zip(classes, aucs, strict=True))
    if class_mean:
        shots = few_shot.evaluate(fitted, scored, shots=SHOTS, num_draws=NUM_DRAWS, seed=seed)
        found["few_shot"] = {str(each.shots): each._asdict() for each in shots}
    return found


def labelled_images(images: Images, source: Source) -> Images:
    """Those with a label."""
    has_label = np.array([bool(source.labels(row)) for row in images.rows.tolist()])
    return Images(images.rows[has_label], {GLOBAL: images.features[GLOBAL][has_label]})
