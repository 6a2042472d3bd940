import json
import subprocess
import sys

import numpy as np
import pytest

from tvdim_jax.data.bad_examples import BadExamples
from tvdim_jax.data.errors import DataError
from tvdim_jax.data.eval_batches import class_names, labels_matrix
from tvdim_jax.data.pipeline import make_train_stream
from tvdim_jax.data.sources.coco import CocoCaptions, prepare_coco


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    def refuse(*_, **__):
        raise AssertionError("the network was asked")

    monkeypatch.setattr("socket.socket.connect", refuse)


@pytest.fixture
def coco_dir(tmp_path, make_jpeg):
    """A COCO folder: image 3 is missing, image 2 has no object."""
    folder = tmp_path / "coco"
    (folder / "annotations").mkdir(parents=True)
    for part, numbers in (("train2014", (1, 2, 3)), ("val2014", (4, 5))):
        (folder / part).mkdir()
        for number in set(numbers) - {3}:
            (folder / part / f"{number}.jpg").write_bytes(make_jpeg(20 * number, (60, 40)))
        images = [{"id": n, "file_name": f"{n}.jpg", "width": 60, "height": 40} for n in numbers]
        texts = [
            {"id": 10 * n + k, "image_id": n, "caption": f"Caf\u00e9 {k} of {n}"}
            for n in numbers
            for k in range(2)
        ]
        things = [
            {"id": n, "image_id": n, "bbox": [6, 4, 30, 20], "area": 600.5, "iscrowd": 0,
             "category_id": category}
            for n in numbers for category in (18, 1, 18) if n != 2
        ]  # fmt: skip
        categories = [{"id": 18, "name": "dog"}, {"id": 1, "name": "person"}]
        for name, content in (
            ("captions", {"images": images, "annotations": texts}),
            ("instances", {"annotations": things, "categories": categories}),
        ):
            (folder / "annotations" / f"{name}_{part}.json").write_text(json.dumps(content))
    return folder


def test_prepare_and_read(tmp_path, coco_dir):
    prepared = prepare_coco(coco_dir, tmp_path / "tfds")
    assert prepared.folder.parent == tmp_path / "tfds" / "coco_captions"
    assert prepared.num_examples == {"train": 2, "val": 2}
    assert prepared.skipped == {"missing file": 1}
    assert prepare_coco(coco_dir, tmp_path / "tfds").num_examples == {"train": 2, "val": 2}
    source = CocoCaptions(tmp_path / "tfds", "train")
    rows = {source.example_id(row): row for row in range(len(source))}
    assert set(rows) == {"1.jpg", "2.jpg"}
    first, second = rows["1.jpg"], rows["2.jpg"]
    assert source.name == "coco_captions"
    assert source.captions(first) == ["Caf\u00e9 0 of 1", "Caf\u00e9 1 of 1"]
    assert source.labels(first) == ["person", "dog"]
    assert source.labels(second) == source.ambiguous(first) == []
    image = source.read_image(second)
    assert image.shape == (40, 60, 3)
    assert np.abs(image.astype(int) - 40).max() <= 1
    assert source.read_image(first, 20).shape == (20, 30, 3)
    assert source.read_grey(first, 20).shape == (20, 30, 1)
    assert source.study_id(first) == first
    record = source._row(first)
    assert np.allclose(record["objects"]["bbox"], [0.1, 0.1, 0.6, 0.6])
    assert "tensorflow" not in sys.modules


def test_the_set_feeds_the_stream_and_the_probe(tmp_path, coco_dir):
    prepare_coco(coco_dir, tmp_path)
    source = CocoCaptions(tmp_path, "train+val")
    options = {"image_size": 16, "global_batch_size": 4, "seed": 0, "ledger": BadExamples()}
    stream = make_train_stream(source, None, **options, num_threads=4)
    assert sorted(next(stream)["image_id"]) == [0, 1, 2, 3]
    stream.close()
    assert class_names(source, range(4)) == {"dog", "person"}
    assert labels_matrix(source, range(4), ("dog", "person"))[0].sum() == 6


def test_splits_of_karpathy_and_li(tmp_path, coco_dir):
    rows = [{"cocoid": n, "split": s} for n, s in ((1, "train"), (4, "test"), (5, "restval"))]
    (coco_dir / "dataset_coco.json").write_text(json.dumps({"images": rows}))
    assert prepare_coco(coco_dir, tmp_path).num_examples == {"restval": 1, "test": 1, "train": 1}
    one, both = CocoCaptions(tmp_path, "train"), CocoCaptions(tmp_path, "train+restval")
    assert (len(one), len(both)) == (1, 2)
    assert one.digest() != both.digest()
    assert CocoCaptions(tmp_path / "coco_captions" / "1.1.0", "train").digest() == one.digest()


def test_no_images_leave_nothing_behind(tmp_path, coco_dir):
    (coco_dir / "train2014").rename(coco_dir / "elsewhere")
    with pytest.raises(DataError, match=r"got no readable image of 3 in train2014 \(.*'missing fi"):
        prepare_coco(coco_dir, tmp_path)
    with pytest.raises(DataError, match="no prepared set"):
        CocoCaptions(tmp_path, "train")


def test_not_prepared(tmp_path):
    with pytest.raises(DataError) as error:
        CocoCaptions(tmp_path, "train")
    assert str(error.value) == (
        f"COCO: got no prepared set in '{tmp_path}', wanted coco_captions in ArrayRecord; run:"
        f" tvdim data prepare coco --from DIR --data_dir {tmp_path}"
    )
    with pytest.raises(DataError, match="wanted a folder with annotations in it"):
        prepare_coco(tmp_path, tmp_path)


def test_wrong_split_or_format_or_features(tmp_path, coco_dir):
    folder = prepare_coco(coco_dir, tmp_path).folder
    with pytest.raises(DataError, match=r"got split 'test', wanted one of \['train', 'val'\]"):
        CocoCaptions(tmp_path, "test")
    info = folder / "dataset_info.json"
    text = info.read_text()
    info.write_text(text.replace('"array_record"', '"tfrecord"'))
    with pytest.raises(DataError, match=r"got a tfrecord set .* run: tvdim data prepare coco"):
        CocoCaptions(tmp_path, "train")
    info.write_text(text)
    features = json.loads((folder / "features.json").read_text())
    features["featuresDict"]["features"].pop("captions")
    (folder / "features.json").write_text(json.dumps(features))
    with pytest.raises(DataError, match="wanted image and captions; prepare coco_captions"):
        CocoCaptions(tmp_path, "train")


def test_the_newest_version_is_read(tmp_path, coco_dir):
    folder = prepare_coco(coco_dir, tmp_path).folder
    newer = folder.with_name("1.10.0")
    folder.rename(newer)
    info = newer / "dataset_info.json"
    info.write_text(info.read_text().replace('"1.1.0"', '"1.10.0"'))
    (coco_dir / "train2014" / "2.jpg").unlink()
    prepare_coco(coco_dir, tmp_path)
    assert len(CocoCaptions(tmp_path, "train")) == 2


def test_other_sources_need_no_tfds_or_grain():
    code = (
        "import sys, tvdim_jax.data.sources, tvdim_jax.data.eval_batches\n"
        "import tvdim_jax.data.tokenizer\n"
        "print(sorted({'tensorflow_datasets', 'grain', 'jax', 'tensorflow'} & set(sys.modules)))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"
