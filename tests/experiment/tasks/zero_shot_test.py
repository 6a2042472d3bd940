"""Zero-shot as a task: class names are levels of a wheel, which the text encoder reads."""

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from tests.reference.label_table import ENCODERS, TOKENIZER, Table
from tests.reference.tiny_run import SRCL, tiny_config
from tvdim_jax.evals.auc import roc_auc
from tvdim_jax.experiment.data import Splits
from tvdim_jax.experiment.tasks import Context, Images
from tvdim_jax.experiment.tasks.zero_shot import ZERO_SHOT

NAMES = ("0_5", "1_5", "3_0")  # levels 5, 15 and 30 of 40
TEMPLATES = {"eval__templates": "('{}',)"}


def wheel(levels):
    angle = np.asarray(levels) * (2 * np.pi / 40)
    return np.stack([np.cos(angle), np.sin(angle), np.ones_like(angle)], -1).astype(np.float32)


def run(labels, levels, kind="global", ambiguous=None, train=None, **changes):
    source = Table(len(labels), labels=labels, ambiguous=ambiguous)
    test = Images(np.arange(len(labels)), {kind: wheel(levels)})
    nothing = Images(np.arange(0), {})
    config = tiny_config(**TEMPLATES, **changes)
    splits = Splits(train or Table(1), source)
    return ZERO_SHOT.run(Context(config, splits, nothing, test, ENCODERS, TOKENIZER))


def test_images_belong_to_the_nearest_name():
    levels = [4, 6, 14, 17, 29, 33, 2, 38]
    labels = [[NAMES[k]] for k in (0, 0, 1, 1, 2, 2, 0, 1)]  # the last one is wrong
    for kind in ("global", "embedding"):
        outcome = run(labels, levels, kind)
        result = outcome.result
        assert result["metrics"] == {"accuracy": 7 / 8}
        assert result["chance"] == {"accuracy": 1 / 3}
        assert result["class_mean_accuracy"] == pytest.approx((1 + 2 / 3 + 1) / 3)
        examples = outcome.examples["cosine"]
        assert examples.scores[:, 0].tolist() == [True] * 7 + [False]
        assert result["note"] == "3 classes in 1 templates, the first '0 5'; 8 images"


def test_a_class_that_no_test_image_shows_can_be_chosen_too():
    """Else the labels of the test part would tell the model which classes not to think of."""
    known = Table(3, labels=[["0_5"], ["1_5"], ["3_0"]])
    outcome = run([["0_5"], ["0_5"], ["1_5"]], [5, 29, 15], train=known)
    assert outcome.result["metrics"] == {"accuracy": 2 / 3}
    assert outcome.result["chance"] == {"accuracy": 1 / 3}
    assert outcome.result["class_names"] == ("0 5", "1 5", "3 0")


def test_several_labels_are_ranked_under_the_policy():
    levels = [5, 15, 30, 10, 22]
    labels = [["0_5"], ["1_5"], ["3_0"], ["0_5", "1_5"], []]
    ambiguous = [[], [], ["0_5"], [], []]
    found = {
        way: run(labels, levels, ambiguous=ambiguous, eval__uncertain=way)
        for way in ("masked", "positive")
    }
    cosines = wheel(levels) @ wheel([5, 15, 30]).T
    truth = np.array([[name in own for name in NAMES] for own in labels])
    for way, outcome in found.items():
        where = np.ones((5, 3), bool)
        where[2, 0] = way == "positive"
        own = truth.copy()
        own[2, 0] = way == "positive"
        aucs = [roc_auc(cosines[where[:, c], c], own[where[:, c], c]) for c in range(3)]
        assert outcome.result["metrics"]["mean_auc"] == pytest.approx(np.mean(aucs))
        ranked = [average_precision_score(own[w, c], cosines[w, c]) for c, w in enumerate(where.T)]
        assert outcome.result["metrics"]["mAP"] == pytest.approx(np.mean(ranked))
        np.testing.assert_array_equal(outcome.examples["cosine"].where, where)
    assert (
        found["positive"]
        .result["note"]
        .endswith("uncertain labels count as positive, unmentioned labels count as negative")
    )


def test_what_is_missing():
    labelled, config = Splits(Table(1), Table(3, labels=[["a"]] * 3)), tiny_config()
    assert ZERO_SHOT.missing(config, labelled) is None  # nothing is learned from
    assert ZERO_SHOT.missing(tiny_config(**SRCL), labelled) is None
    assert ZERO_SHOT.missing(config, Splits(Table(1), Table(3))) == (
        "the test part of table has no labels"
    )
    for changes, why in (
        ({"objective__name": "amdim"}, "the run has no text encoder"),
        ({"objective__name": "lmi"}, "images and texts of lmi meet in a critic, not by cosine"),
    ):
        assert ZERO_SHOT.missing(tiny_config(**changes), labelled) == why
    part = Images(np.arange(3), {"global": wheel([1, 2, 3])})
    with pytest.raises(ValueError, match="needs a text encoder; leave the task out"):
        ZERO_SHOT.run(Context(config, labelled, part, part, None, None))
