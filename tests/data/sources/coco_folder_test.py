import json

import pytest

from tvdim_jax.data.errors import DataError
from tvdim_jax.data.sources.coco_folder import CATEGORIES, read_coco_folder


def put(folder, name: str, content) -> None:
    text = content if isinstance(content, str) else json.dumps(content)
    (folder / name).write_text(text)


def captions(*numbers: int) -> dict:
    return {
        "images": [
            {"id": n, "file_name": f"{n}.jpg", "width": 200, "height": 100} for n in numbers
        ],
        "annotations": [
            {"id": 10 * n + k, "image_id": n, "caption": f"text {k} of {n}"}
            for k in range(2)
            for n in numbers
        ],
    }


INSTANCES = {
    "categories": [{"id": 18, "name": "dog"}, {"id": 1, "name": "person"}],
    "annotations": [
        {"id": 5, "image_id": 1, "bbox": [20, 10, 100, 30.5], "area": 99.9, "iscrowd": 1,
         "category_id": 18, "segmentation": []},
        {"id": 6, "image_id": 1, "bbox": [150, 50, 60, 60], "area": 7, "iscrowd": 0,
         "category_id": 1},
    ],
}  # fmt: skip


def test_eighty_categories():
    assert len(set(CATEGORIES)) == len(CATEGORIES) == 80
    assert (CATEGORIES[0], CATEGORIES[16], CATEGORIES[79]) == ("person", "dog", "toothbrush")


def test_captions_and_objects(tmp_path):
    put(tmp_path, "captions_train2014.json", captions(1, 2))
    put(tmp_path, "captions_val2014.json", captions(3))
    put(tmp_path, "instances_train2014.json", INSTANCES)
    splits = read_coco_folder(tmp_path, None)
    assert {split: [image.image_id for image in part] for split, part in splits.items()} == {
        "train": [1, 2],
        "val": [3],
    }
    first, second = splits["train"]
    assert (first.part, first.file_name) == ("train2014", "1.jpg")
    assert first.captions == [
        {"id": 10, "text": "text 0 of 1"},
        {"id": 11, "text": "text 1 of 1"},
    ]
    assert first.objects == [
        {"id": 5, "area": 99, "bbox": (0.1, 0.1, 0.405, 0.6), "is_crowd": True, "label": "dog"},
        {"id": 6, "area": 7, "bbox": (0.5, 0.75, 1.0, 1.0), "is_crowd": False, "label": "person"},
    ]
    assert second.objects == []


def test_2014_comes_before_2017(tmp_path):
    put(tmp_path, "captions_train2017.json", captions(1))
    put(tmp_path, "captions_val2017.json", captions(2))
    assert read_coco_folder(tmp_path, None)["val"][0].part == "val2017"
    put(tmp_path, "captions_val2014.json", captions(3))
    assert list(read_coco_folder(tmp_path, None)) == ["val"]
    assert read_coco_folder(tmp_path, None)["val"][0].part == "val2014"


def test_splits_file(tmp_path):
    put(tmp_path, "captions_train2014.json", captions(1, 2))
    put(tmp_path, "captions_val2014.json", captions(3, 4, 5))
    names = {1: "train", 3: "test", 4: "restval", 5: "val"}
    rows = [{"cocoid": number, "split": split} for number, split in names.items()]
    put(tmp_path, "dataset_coco.json", {"images": rows})
    splits = read_coco_folder(tmp_path, tmp_path / "dataset_coco.json")
    assert {image.image_id: split for split, part in splits.items() for image in part} == names


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("captions_train2014.json", "{", "got Expecting property name.*wanted JSON"),
        ("captions_train2014.json", [], "TypeError.*wanted COCO's own form"),
        ("captions_train2014.json", {"images": []}, "KeyError 'annotations'"),
        ("instances_train2014.json", {"annotations": []}, "KeyError 'categories'"),
        (
            "instances_train2014.json",
            {"annotations": [], "categories": [{"id": 1, "name": "dragon"}]},
            r"the categories \['dragon'\]",
        ),
        ("dataset_coco.json", {"images": [{"split": "val"}]}, "KeyError 'cocoid'"),
    ],
)
def test_files_of_another_form(tmp_path, name, content, message):
    put(tmp_path, "captions_train2014.json", captions(1))
    put(tmp_path, name, content)
    splits_file = tmp_path / name if name == "dataset_coco.json" else None
    with pytest.raises(DataError, match=message) as error:
        read_coco_folder(tmp_path, splits_file)
    assert name in str(error.value)


def test_no_captions(tmp_path):
    with pytest.raises(DataError, match=r"got no captions_train2014\.json.*folder above annot"):
        read_coco_folder(tmp_path, None)
