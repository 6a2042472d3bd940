"""Zero-shot classification: images are told apart by texts that name the classes.

Each class name is put into every template; the text features of a class are the mean of its
prompts' unit vectors, made a unit vector again; an image belongs to the class of the highest
cosine (Radford et al. 2021, arXiv 2103.00020, section 3.1.4).
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from tvdim_jax.evals.accuracy import class_mean_accuracy, top_k_accuracy
from tvdim_jax.evals.features import check_features
from tvdim_jax.evals.knn import unit_rows
from tvdim_jax.evals.labelled import LabelledFeatures, check_pair, score_predictions

PHOTO_TEMPLATES = (
    "a photo of a {}",
    "a picture that shows a {}",
    "a close view of a {}",
    "a {} seen from afar",
    "a dark picture of a {}",
    "a bright picture of a {}",
    "a drawing of a {}",
    "there is a {} in this picture",
)
XRAY_TEMPLATES = (
    "{}",
    "{} is present",
    "there is {}",
    "findings consistent with {}",
    "chest x-ray showing {}",
    "the lungs show signs of {}",
)


class ZeroShotResult(NamedTuple):
    """What was measured and by which protocol; `_asdict()` is JSON.

    Attributes:
      metric: "accuracy" (one label) or "mean_auc" (several: of the cosines, class by class).
      value: in [0, 1].
      top_5_accuracy: share of images whose class is among the five best; None with several labels
        and with fewer than five classes.
      class_mean_accuracy: mean over the classes that occur; None with several labels.
      num_test: images scored.
      num_classes: C.
      classes_skipped: several labels: classes without both values.
      class_names: in the order of the labels.
      templates: that the names were put into.
    """

    metric: str
    value: float
    top_5_accuracy: float | None
    class_mean_accuracy: float | None
    num_test: int
    num_classes: int
    classes_skipped: tuple[int, ...]
    class_names: tuple[str, ...]
    templates: tuple[str, ...]


def evaluate(
    test: LabelledFeatures,
    embed_texts: Callable[[Sequence[str]], np.ndarray],
    class_names: Sequence[str],
    *,
    templates: Sequence[str] = PHOTO_TEMPLATES,
) -> ZeroShotResult:
    """Scores images by the texts of their classes.

    Args:
      test: features of images, comparable with those of texts by cosine; labels int `[n]` that
        number `class_names`, or bool `[n, C]` for several.
      embed_texts: texts -> features `[m, D]`, not necessarily of length 1.
      class_names: C names as a caption would write them.
      templates: texts with one "{}", where the name goes.

    Returns:
      The score and the protocol; of equal cosines the first class wins.

    Raises:
      ValueError: labels beyond the names, templates without a place for the name, or features that
        are not finite or of another width.
    """
    return predict(test, embed_texts, class_names, templates=templates)[0]


def predict(
    test: LabelledFeatures,
    embed_texts: Callable[[Sequence[str]], np.ndarray],
    class_names: Sequence[str],
    *,
    templates: Sequence[str] = PHOTO_TEMPLATES,
) -> tuple[ZeroShotResult, np.ndarray]:
    """`evaluate`, and the cosine of every image with every class, float32 `[n, C]`."""
    texts = class_features(embed_texts, class_names, templates)
    num_classes = len(class_names)
    check_pair(test, test)
    _check(test, texts)
    scores = unit_rows(test.features) @ texts.T
    score = score_predictions(scores, test)
    one_label = test.labels.ndim == 1
    best = scores.argmax(axis=1)
    result = ZeroShotResult(
        metric=score.metric,
        value=score.value,
        top_5_accuracy=(
            top_k_accuracy(scores, test.labels, 5) if one_label and num_classes >= 5 else None
        ),
        class_mean_accuracy=class_mean_accuracy(best, test.labels) if one_label else None,
        num_test=len(scores),
        num_classes=num_classes,
        classes_skipped=score.classes_skipped,
        class_names=tuple(class_names),
        templates=tuple(templates),
    )
    return result, scores


def class_features(
    embed_texts: Callable[[Sequence[str]], np.ndarray],
    class_names: Sequence[str],
    templates: Sequence[str],
) -> np.ndarray:
    """Unit vectors of the classes, float32 `[C, D]`; arguments and errors as in `evaluate`."""
    strange = [template for template in templates if template.count("{}") != 1]
    if strange or not templates or not class_names:
        raise ValueError(
            f"zero-shot: got {len(class_names)} class names and templates {strange or templates} "
            "to put them into, wanted at least one name and one template, each with one {}; such "
            "as 'a photo of a {}'"
        )
    prompts = [template.replace("{}", name) for name in class_names for template in templates]
    features = np.asarray(embed_texts(prompts))
    check_features(features, "text features")
    vectors = unit_rows(features).reshape(len(class_names), len(templates), -1)
    return unit_rows(vectors.mean(axis=1))


def _check(test: LabelledFeatures, texts: np.ndarray) -> None:
    num_classes = test.labels.shape[1] if test.labels.ndim == 2 else int(test.labels.max()) + 1
    fits = num_classes == len(texts) if test.labels.ndim == 2 else num_classes <= len(texts)
    if not fits or test.features.shape[1] != texts.shape[1]:
        raise ValueError(
            f"zero-shot: got labels of {num_classes} classes and images of width "
            f"{test.features.shape[1]}, wanted the {len(texts)} class names and their width "
            f"{texts.shape[1]}; name every class, and take both features from one model"
        )
