import numpy as np
import pytest

from tests.reference.linear_model import Colours
from tests.reference.tiny_run import tiny_config
from tvdim_jax.data.bad_examples import BadExamples
from tvdim_jax.experiment.labelled_images import (
    LabelledImages,
    check_images,
    scored_batches,
    train_stream,
    with_labels,
)

CONFIG = tiny_config(data__num_threads=2)
ROWS = np.array([9, 3, 11, 5, 2])


def batches_of(images, steps, ledger=None):
    stream = train_stream(CONFIG, images, 4, ledger or BadExamples())
    try:
        labelled = with_labels(stream, images)
        return [next(labelled) for _ in range(steps)]
    finally:
        stream.close()


def test_labels_follow_their_images_through_order_and_replacement():
    source = Colours(12, bad=(3,))
    images = LabelledImages(source, ROWS, np.arange(5))
    ledger = BadExamples()
    seen = set()
    for batch in batches_of(images, 10, ledger):
        assert set(batch) == {"image", "where", "labels"}
        assert batch["labels"].dtype == np.int32
        colour = source.colour[ROWS[batch["labels"]]]
        np.testing.assert_array_equal(batch["image"][:, 0, 0], colour)
        seen |= set(batch["labels"].tolist())
    assert seen == {0, 2, 3, 4}
    assert ledger.num_bad == 1


def test_several_labels_bring_their_mask():
    rng = np.random.default_rng(0)
    labels, where = rng.random((2, 5, 3)) < 0.5
    source = Colours(12)
    (batch,) = batches_of(LabelledImages(source, ROWS, labels, where), 1)
    index = [
        int(np.flatnonzero((source.colour[ROWS] == image[0, 0]).all(1))[0])
        for image in batch["image"]
    ]
    np.testing.assert_array_equal(batch["labels"], labels[index])
    np.testing.assert_array_equal(batch["label_where"], where[index])
    (batch,) = batches_of(LabelledImages(source, ROWS, labels), 1)
    assert batch["label_where"].all()


def test_scored_batches_hold_the_rows_in_order():
    images = LabelledImages(Colours(12, bad=(11,)), ROWS, np.arange(5))
    first, last = scored_batches(CONFIG, images, 3, BadExamples())
    assert first["image_id"].tolist() == [0, 1, 2]
    assert first["where"].tolist() == [True, True, False]
    assert last["where"].tolist() == [True, True, False]
    np.testing.assert_array_equal(last["image"][0, 0, 0], images.source.colour[5])


def test_sets_are_checked_against_each_other():
    images = LabelledImages(Colours(12), ROWS, np.arange(5))
    assert check_images(images, images._replace(rows=ROWS[:2], labels=np.array([0, 7]))) == 8
    with pytest.raises(ValueError, match="test labels must have one row per"):
        check_images(images, images._replace(labels=np.arange(4)))
