import numpy as np

from tvdim_jax.data.bad_examples import BadExamples
from tvdim_jax.data.eval_batches import (
    caption_table,
    class_names,
    labels_matrix,
    make_eval_batches,
)
from tvdim_jax.data.sources import CaptionsFolder, Scenes


def test_every_row_once_in_order_and_the_tail_padded(grey_folder):
    source = CaptionsFolder(grey_folder(10, bad=(3, 9)))
    ledger = BadExamples()
    batches = list(make_eval_batches(source, image_size=8, batch_size=4, ledger=ledger))
    assert [batch["image_id"].tolist() for batch in batches] == [
        [0, 1, 2, 3],
        [4, 5, 6, 7],
        [8, 9, -1, -1],
    ]
    where = np.concatenate([batch["where"] for batch in batches])
    assert where.tolist() == [row not in (3, 9) and row < 10 for row in range(12)]
    image = np.concatenate([batch["image"] for batch in batches])
    assert image.shape == (12, 8, 8, 3)
    assert image.dtype == np.uint8
    for row in range(12):
        wanted = 2 * row if where[row] else 0
        assert np.abs(image[row].astype(int) - wanted).max() <= 2
    assert ledger.counts() == {"unsupported format": 2}


def test_limit(grey_folder):
    source = CaptionsFolder(grey_folder(5, bad=(0,)))
    ids = [
        batch["image_id"][batch["where"]].tolist()
        for batch in make_eval_batches(source, image_size=8, batch_size=2, limit=3)
    ]
    assert ids == [[1], [2]]
    assert len(list(make_eval_batches(source, image_size=8, batch_size=2, limit=99))) == 3


def test_grey(grey_folder):
    source = CaptionsFolder(grey_folder(3, bad=(1,)))
    (batch,) = make_eval_batches(source, image_size=8, batch_size=4, grey=True)
    assert batch["image"].dtype == np.uint16
    assert batch["image"].shape == (4, 10, 10, 1)
    assert batch["where"].tolist() == [True, False, True, False]
    assert np.abs(batch["image"][2, 1:9, 1:9] / 257 - 4).max() <= 2
    assert batch["image"][[1, 3]].max() == 0


def test_caption_table(make_folder):
    rows = [("a.jpg", b"", ["one", " ", "two"], {}), ("b.jpg", b"", [], {}),
            ("c.jpg", b"", ["three\n"], {})]  # fmt: skip
    texts, image_id = caption_table(CaptionsFolder(make_folder(rows)), [2, 1, 0])
    assert texts == ["three", "one", "two"]
    assert image_id.tolist() == [2, 0, 0]
    assert image_id.dtype == np.int32


def labelled(make_folder, rows, name="set"):
    return CaptionsFolder(
        make_folder(
            [
                (f"{number}.jpg", b"", [], {"labels": labels, "ambiguous": ambiguous})
                for number, (labels, ambiguous) in enumerate(rows)
            ],
            name,
        )
    )


def test_several_labels_with_ambiguous_ones_masked(make_folder):
    source = labelled(make_folder, [(["dog", "car"], []), ([], ["dog"]), (["cat"], ["odd"])])
    assert class_names(source, [0, 1, 2]) == {"car", "cat", "dog"}
    labels, where = labels_matrix(source, [0, 1, 2], ("car", "cat", "dog"))
    assert labels.tolist() == [[1, 0, 1], [0, 0, 0], [0, 1, 0]]
    assert labels.dtype == where.dtype == bool
    assert where.tolist() == [[True] * 3, [True, True, False], [True] * 3]
    labels, where = labels_matrix(source, [1, 0], ("dog", "car"))
    assert labels.tolist() == [[0, 0], [1, 1]]
    assert where.tolist() == [[False, True], [True, True]]


def test_no_labels(make_folder):
    assert class_names(labelled(make_folder, [([], []), ([], [])]), range(2)) == set()


def test_scenes_have_one_label():
    source = Scenes(200, 0, 32)
    names = sorted(class_names(source, range(200)))
    labels, where = labels_matrix(source, range(200), names)
    assert labels.shape == (200, 8)
    assert (labels.sum(axis=1) == 1).all()
    assert where.all()
