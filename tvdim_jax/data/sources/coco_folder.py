"""Reading of COCO's own annotation files, with or without the splits of Karpathy and Li (no TFDS).

Layout: annotations/captions_{train,val}{2014,2017}.json, annotations/instances_*.json (may be
missing), images in train2014, val2014, train2017, val2017, and dataset_coco.json (may be missing)
in the folder or in annotations.
"""

import json
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from tvdim_jax.data.errors import DataError

PARTS = ("train2014", "val2014", "train2017", "val2017")
CATEGORIES = (
    *("person", "bicycle", "car", "motorcycle", "airplane", "bus", "train", "truck", "boat"),
    *("traffic light", "fire hydrant", "stop sign", "parking meter", "bench", "bird", "cat"),
    *("dog", "horse", "sheep", "cow", "elephant", "bear", "zebra", "giraffe", "backpack"),
    *("umbrella", "handbag", "tie", "suitcase", "frisbee", "skis", "snowboard", "sports ball"),
    *("kite", "baseball bat", "baseball glove", "skateboard", "surfboard", "tennis racket"),
    *("bottle", "wine glass", "cup", "fork", "knife", "spoon", "bowl", "banana", "apple"),
    *("sandwich", "orange", "broccoli", "carrot", "hot dog", "pizza", "donut", "cake", "chair"),
    *("couch", "potted plant", "bed", "dining table", "toilet", "tv", "laptop", "mouse"),
    *("remote", "keyboard", "cell phone", "microwave", "oven", "toaster", "sink"),
    *("refrigerator", "book", "clock", "vase", "scissors", "teddy bear", "hair drier"),
    "toothbrush",
)


class CocoImage(NamedTuple):
    """One image of COCO.

    Attributes:
      image_id: COCO's number of the image.
      part: folder of the image, such as "train2014".
      file_name: inside that folder.
      captions: {"id", "text"} each.
      objects: {"id", "area", "bbox", "is_crowd", "label"} each; bbox is (ymin, xmin, ymax, xmax) as
        shares of the image's sides, label one of CATEGORIES.
    """

    image_id: int
    part: str
    file_name: str
    captions: list[dict[str, Any]]
    objects: list[dict[str, Any]]


def read_coco_folder(annotations: Path, splits_file: Path | None) -> dict[str, list[CocoImage]]:
    """Images by split, the files of 2014 if they are there, else those of 2017.

    Args:
      annotations: folder of the annotation files.
      splits_file: dataset_coco.json: gives train, val, test and restval, and leaves out images that
        it does not name. None gives train and val.

    Raises:
      DataError: no caption file, or a file of another form.
    """
    images: list[tuple[str, CocoImage]] = []
    files = {part: annotations / f"captions_{part}.json" for part in PARTS}
    found = [part for part in PARTS if files[part].is_file()]
    for part in (part for part in found if part[-4:] == found[0][-4:]):
        images += [(part[:-4], image) for image in _read_part(files[part], part)]
    if not images:
        raise DataError(
            f"COCO: got no captions_train2014.json, _val2014, _train2017 or _val2017 in"
            f" {str(annotations)!r}, wanted at least one; give the folder above annotations"
        )
    chosen = _read_splits(splits_file) if splits_file else None
    by_split: dict[str, list[CocoImage]] = defaultdict(list)
    for split, image in images:
        name = split if chosen is None else chosen.get(image.image_id)
        if name is not None:
            by_split[name].append(image)
    return dict(by_split)


def _read_part(file: Path, part: str) -> list[CocoImage]:
    """Images of one caption file, with the objects of the instance file beside it."""
    captions: dict[int, list[dict[str, Any]]] = defaultdict(list)
    try:
        content = _load(file)
        for row in content["annotations"]:
            text = {"id": int(row["id"]), "text": str(row["caption"])}
            captions[int(row["image_id"])].append(text)
        sides = {int(row["id"]): row for row in content["images"]}
        objects = _read_objects(file.with_name(f"instances_{part}.json"), sides)
        return [
            CocoImage(number, part, str(row["file_name"]), captions[number], objects[number])
            for number, row in sides.items()
        ]
    except DataError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise _wrong_form(file, error) from error


def _read_objects(file: Path, sides: Mapping[int, Any]) -> dict[int, list[dict[str, Any]]]:
    objects: dict[int, list[dict[str, Any]]] = defaultdict(list)
    if not file.is_file():
        return objects
    try:
        content = _load(file)
        names = {row["id"]: row["name"] for row in content["categories"]}
        _check_categories(set(names.values()), file)
        for row in content["annotations"]:
            image = sides[int(row["image_id"])]
            entry = {
                "id": int(row["id"]),
                "area": int(row["area"]),
                "bbox": _shares(row["bbox"], float(image["width"]), float(image["height"])),
                "is_crowd": bool(row["iscrowd"]),
                "label": names[row["category_id"]],
            }
            objects[int(row["image_id"])].append(entry)
    except DataError:
        raise
    except (KeyError, TypeError, ValueError, ZeroDivisionError, AttributeError) as error:
        raise _wrong_form(file, error) from error
    return objects


def _check_categories(names: set[str], file: Path) -> None:
    unknown = sorted(names - set(CATEGORIES))
    if unknown:
        raise DataError(
            f"COCO: got the categories {unknown} in {file}, wanted those of COCO;"
            " take its own instance files"
        )


def _shares(box: list[float], width: float, height: float) -> tuple[float, float, float, float]:
    """(x, y, width, height) in pixels -> (ymin, xmin, ymax, xmax) in [0, 1]."""
    left, top, wide, high = map(float, box)
    ends = (top / height, left / width, (top + high) / height, (left + wide) / width)
    ymin, xmin, ymax, xmax = (min(1.0, max(0.0, end)) for end in ends)
    return ymin, xmin, ymax, xmax


def _read_splits(file: Path) -> dict[int, str]:
    """Image number -> split, from dataset_coco.json."""
    try:
        return {int(row["cocoid"]): str(row["split"]) for row in _load(file)["images"]}
    except DataError:
        raise
    except (KeyError, TypeError, ValueError) as error:
        raise _wrong_form(file, error) from error


def _load(file: Path) -> Any:
    try:
        return json.loads(file.read_bytes())
    except (ValueError, RecursionError) as error:
        raise DataError(f"COCO: got {error} in {file}, wanted JSON; get the file again") from error


def _wrong_form(file: Path, error: Exception) -> DataError:
    return DataError(
        f"COCO: got {type(error).__name__} {error} in {file}, wanted COCO's own form;"
        " get the file again"
    )
