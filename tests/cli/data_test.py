"""`tvdim data prepare coco`, and the card's command on what it wrote."""

import json

import numpy as np
import pytest
from PIL import Image

from tests.reference.tiny_run import REPOSITORY, tiny_words
from tvdim_jax.cli import data, main
from tvdim_jax.train.metrics import read_rows

COCO = str(REPOSITORY / "configs" / "coco.py")


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    def refuse(*_, **__):
        raise AssertionError("the network was asked")

    monkeypatch.setattr("socket.socket.connect", refuse)


def write_part(folder, part, numbers):
    """Images of a dog (reddish) or a cat, a third with a person; that of number 3 is missing."""
    rng = np.random.default_rng(numbers[0])
    (folder / part).mkdir(parents=True)
    (folder / "annotations").mkdir(exist_ok=True)
    for number in numbers:
        pixels = rng.integers(0, 255, (50, 60, 3), dtype=np.uint8)
        pixels[..., 1:] //= 1 + number % 2
        if number != 3:
            Image.fromarray(pixels).save(folder / part / f"{number}.jpg")
    captions = [
        {"id": 10 * n + k, "image_id": n, "caption": f"a {'dog' if n % 2 else 'cat'}, take {k}"}
        for n in numbers
        for k in range(2)
    ]
    things = [
        {"id": n, "image_id": n, "bbox": [6, 4, 30, 20], "area": 600.5, "iscrowd": 0,
         "category_id": category}
        for n in numbers for category in ((18 if n % 2 else 17), 1) if category > 1 or n % 3 == 0
    ]  # fmt: skip
    images = [{"id": n, "file_name": f"{n}.jpg", "width": 60, "height": 50} for n in numbers]
    categories = [{"id": 17, "name": "cat"}, {"id": 18, "name": "dog"}, {"id": 1, "name": "person"}]
    for name, content in (
        ("captions", {"images": images, "annotations": captions}),
        ("instances", {"annotations": things, "categories": categories}),
    ):
        (folder / "annotations" / f"{name}_{part}.json").write_text(json.dumps(content))


def test_from_a_coco_folder_to_a_trained_run(tmp_path, capsys):
    write_part(tmp_path / "coco", "train2014", range(1, 18))
    write_part(tmp_path / "coco", "val2014", range(20, 32))
    sets = tmp_path / "tfds"
    words = ["data", "prepare", "coco", "--from", str(tmp_path / "coco"), "--data_dir", str(sets)]
    assert main(words) == 0
    last = capsys.readouterr().out.strip().splitlines()[-1]
    assert last.startswith(f"prepared {sets / 'coco_captions'}")
    assert last.endswith("train 16, val 12 images; 1 left out: missing file")

    workdir = tmp_path / "run"
    words = tiny_words(
        workdir,
        data__path=sets,
        data__image_size=32,
        data__num_threads=2,
        augment="cifar",
        model__image_size=32,
        model__dtype="float32",
        train__num_steps=2,
        eval__tasks="('knn','retrieval')",
    )
    assert main(["train", f"--config={COCO}", *words]) == 0
    output = capsys.readouterr().out
    assert "coco_captions: 16 training and 12 test images" in output
    assert "mean auc" in output
    record = json.loads((workdir / "evals" / "knn_coco_captions.json").read_text())
    assert (record["num_train"], record["num_test"], record["num_classes"]) == (16, 12, 3)
    record = json.loads((workdir / "evals" / "retrieval_coco_captions.json").read_text())
    assert (record["num_images"], record["num_texts"]) == (12, 24)
    rows = read_rows(workdir / "metrics.jsonl")
    assert all(np.isfinite(row["train/loss"]) for row in rows)
    assert [row["step"] for row in rows] == [1, 2]


def test_training_on_coco_that_is_not_prepared_names_the_command(tmp_path, capsys):
    words = [f"--config.data.path={tmp_path}", f"--config.workdir={tmp_path / 'run'}"]
    assert main(["train", f"--config={COCO}", *words]) == 2
    assert capsys.readouterr().err == (
        f"error: COCO: got no prepared set in '{tmp_path}', wanted coco_captions in ArrayRecord; "
        f"run: tvdim data prepare coco --from DIR --data_dir {tmp_path}\n"
    )
    assert not (tmp_path / "run").exists()


def test_a_folder_that_is_not_coco(tmp_path, capsys):
    words = ["data", "prepare", "coco", "--from", str(tmp_path), "--data_dir", str(tmp_path)]
    assert main(words) == 2
    assert "wanted a folder with annotations in it" in capsys.readouterr().err


def test_without_from_the_archives_are_asked_for(monkeypatch, capsys):
    asked = []
    monkeypatch.setattr(data, "prepare_coco", lambda *words: asked.append(words) or "prepared")
    assert main(["data", "prepare", "coco"]) == 0
    assert asked == [(None, "")]
    assert capsys.readouterr().out == "prepared\n"
