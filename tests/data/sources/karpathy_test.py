import json

import numpy as np
import pytest

from tests.reference.downstream_sets import COLOURS, write_karpathy
from tvdim_jax.data.bad_examples import BadExamples
from tvdim_jax.data.errors import BadExample, DataError
from tvdim_jax.data.eval_batches import caption_table, make_eval_batches
from tvdim_jax.data.sources.karpathy import karpathy_captions


@pytest.mark.parametrize("coco", [True, False])
def test_rows_images_and_all_captions(tmp_path, coco):
    rows = write_karpathy(tmp_path, coco=coco)
    source = karpathy_captions(tmp_path, "test")
    wanted = [row for row in rows if row["split"] == "test"]
    assert source.name == ("coco" if coco else "flickr30k")
    assert len(source) == len(wanted) == (3 if coco else 4)
    for index, row in enumerate(wanted):
        texts = [each["raw"] for each in row["sentences"]]
        assert source.captions(index) == texts
        colour = texts[1].removeprefix("Something ").rstrip("!")
        mean = source.read_image(index).mean(axis=(0, 1))
        np.testing.assert_allclose(mean, COLOURS[colour], atol=8)
        assert source.example_id(index).endswith(row["filename"])
    table, image_id = caption_table(source, range(len(source)))
    assert len(table) == sum(len(row["sentences"]) for row in wanted)
    assert np.bincount(image_id).tolist() == [len(row["sentences"]) for row in wanted]


def test_splits_are_disjoint_and_add_up(tmp_path):
    rows = write_karpathy(tmp_path)
    names = ("train", "restval", "val", "test", "train+restval")
    found = {name: karpathy_captions(tmp_path, name) for name in names}
    ids = {name: {s.example_id(i) for i in range(len(s))} for name, s in found.items()}
    assert ids["train+restval"] == ids["train"] | ids["restval"]
    assert sum(len(ids[name]) for name in names[:4]) == len(rows)
    assert len({source.digest() for source in found.values()}) == 5


def test_bad_records_are_skipped_counted_and_listed(tmp_path):
    rows = write_karpathy(tmp_path, num_images=16)
    changed = [row for row in rows if row["split"] == "train"]
    changed[0]["sentences"] = "none"
    changed[1] |= {"filename": "../../x.jpg", "filepath": ".."}
    changed[2]["sentences"] = [{"raw": "  "}]
    rows += ["row", {"split": "holdout"}, dict(changed[3])]
    (tmp_path / "dataset_coco.json").write_text(json.dumps({"images": rows}))
    source = karpathy_captions(tmp_path, "train")
    ledger = BadExamples()
    batches = make_eval_batches(source, image_size=8, batch_size=4, ledger=ledger)
    where = np.concatenate([batch["where"] for batch in batches])
    assert where[: len(source)].tolist() == [False] * 3 + [True] + [False] * 3
    assert ledger.counts() == {
        "broken record": 3,
        "path outside the data folder": 1,
        "no caption": 1,
        "duplicate image": 1,
    }
    assert source.captions(0) == []
    with pytest.raises(BadExample, match="broken record"):
        source.read_image(0)


@pytest.mark.parametrize(
    ("content", "split", "message"),
    [
        ("[]", "val", "got list without a list 'images', wanted one"),
        ("{}", "val", "got dict without a list 'images'"),
        ('{"images": [', "val", "wanted JSON; get the file again"),
        ('{"images": []}', "val", "coco: got 0 records"),
        ('{"images": [{"split": "train"}]}', "train", "got 1 records .* all of them bad"),
        ("{}", "train+dev", r"got split='train\+dev', wanted some of"),
    ],
)
def test_what_cannot_start(tmp_path, content, split, message):
    (tmp_path / "dataset_coco.json").write_text(content)
    with pytest.raises(DataError, match=message):
        karpathy_captions(tmp_path, split)


def test_a_folder_without_the_file_says_so(tmp_path):
    with pytest.raises(DataError, match=r"dataset_coco.json or dataset_flickr30k.json; set the pa"):
        karpathy_captions(tmp_path / "none", "val")
