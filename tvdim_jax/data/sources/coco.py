"""COCO captions as a TFDS data set in ArrayRecord: preparing and reading, without TensorFlow.

The features are those of TFDS's own `coco_captions`, whose builder cannot be defined without
TensorFlow. A set that was prepared with that one in ArrayRecord is read as it is.
"""

import hashlib
import io
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tensorflow_datasets as tfds

from tvdim_jax.data.errors import BadExample, DataError
from tvdim_jax.data.files import read_inside
from tvdim_jax.data.image_ops import decode_grey, decode_image
from tvdim_jax.data.sources.coco_folder import CATEGORIES, PARTS, CocoImage, read_coco_folder

NAME = "coco_captions"

_URL = "http://images.cocodataset.org"
_ARCHIVES = {
    "annotations": f"{_URL}/annotations/annotations_trainval2014.zip",
    "train2014": f"{_URL}/zips/train2014.zip",
    "val2014": f"{_URL}/zips/val2014.zip",
}


class PreparedCoco(NamedTuple):
    """What was written.

    Attributes:
      folder: of the prepared set.
      num_examples: by split.
      skipped: number of images left out by reason, such as "missing file".
    """

    folder: Path
    num_examples: dict[str, int]
    skipped: dict[str, int]


class CocoCaptionsBuilder(tfds.core.GeneratorBasedBuilder, skip_registration=True):  # type: ignore[call-arg]
    """TFDS builder of a local COCO folder, or of the official archives.

    Args:
      from_dir: the folder; None downloads.
      data_dir: TFDS data folder.

    Attributes:
      skipped: images left out so far, by reason.
    """

    name = NAME
    VERSION = tfds.core.Version("1.1.0")

    def __init__(self, *, from_dir: Path | None, data_dir: Path) -> None:
        self._from_dir = from_dir
        self.skipped: Counter[str] = Counter()
        super().__init__(data_dir=data_dir, file_format="array_record")

    def _info(self) -> tfds.core.DatasetInfo:
        features = tfds.features
        thing = {
            "id": np.int64,
            "area": np.int64,
            "bbox": features.BBoxFeature(),
            "is_crowd": np.bool_,
            "label": features.ClassLabel(names=CATEGORIES),
        }
        content = {
            "image": features.Image(encoding_format="jpeg"),
            "image/filename": features.Text(),
            "image/id": np.int64,
            "objects": features.Sequence(thing),
            "captions": features.Sequence({"text": features.Text(), "id": np.int64}),
        }
        return tfds.core.DatasetInfo(builder=self, features=features.FeaturesDict(content))

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Any]:
        if self._from_dir is None:
            archives = dl_manager.download_and_extract(_ARCHIVES)
            folders = {key: Path(path) for key, path in archives.items()}
            annotations, splits_file = folders["annotations"] / "annotations", None
        else:
            folders = dict.fromkeys(PARTS, self._from_dir)
            annotations = self._from_dir / "annotations"
            places = (self._from_dir / "dataset_coco.json", annotations / "dataset_coco.json")
            splits_file = next((place for place in places if place.is_file()), None)
        by_split = read_coco_folder(annotations, splits_file)
        return {
            split: self._generate_examples(images, folders) for split, images in by_split.items()
        }

    def _generate_examples(
        self, images: list[CocoImage], folders: dict[str, Path]
    ) -> Iterator[tuple[int, dict[str, Any]]]:
        found = False
        for image in images:
            try:
                content = read_inside(
                    folders[image.part].resolve(), f"{image.part}/{image.file_name}"
                )
            except BadExample as error:
                self.skipped[error.reason] += 1
                continue
            found = True
            objects = [
                {**thing, "bbox": tfds.features.BBox(*thing["bbox"])} for thing in image.objects
            ]
            yield (
                image.image_id,
                {
                    "image": io.BytesIO(content),
                    "image/filename": image.file_name,
                    "image/id": image.image_id,
                    "objects": objects,
                    "captions": image.captions,
                },
            )
        if not found:  # raised here, as TFDS then leaves no half-written set behind
            raise DataError(
                f"COCO: got no readable image of {len(images)} in {images[0].part}"
                f" ({dict(self.skipped)}), wanted that folder beside annotations; put it there"
            )


def prepare_coco(from_dir: str | Path | None, data_dir: str | Path) -> PreparedCoco:
    """Writes COCO as ArrayRecord under `data_dir`; a set that is there already stays.

    Args:
      from_dir: local COCO folder (coco_folder says its layout); None downloads the 2014 archives
        (19 GB) from images.cocodataset.org.
      data_dir: TFDS data folder; "" is TFDS's default.

    Returns:
      What was written; images that cannot be read are left out and counted.

    Raises:
      DataError: no such folder, an annotation file of another form, or not one image.
    """
    root = None if from_dir is None else Path(from_dir)
    if root is not None and not (root / "annotations").is_dir():
        raise DataError(
            f"COCO: got {str(from_dir)!r}, wanted a folder with annotations in it; give --from the"
            " folder that holds annotations and the images"
        )
    builder = CocoCaptionsBuilder(from_dir=root, data_dir=_data_dir(data_dir))
    # TFDS would first look for a set of this name in its own bucket, prepared as TFRecord.
    builder.download_and_prepare(
        download_config=tfds.download.DownloadConfig(try_download_gcs=False)
    )
    counts = {name: int(split.num_examples) for name, split in builder.info.splits.items()}
    return PreparedCoco(Path(builder.data_dir), counts, dict(builder.skipped))


class CocoCaptions:
    """A prepared caption set, read by row without TensorFlow.

    Args:
      data_dir: TFDS data folder, or the folder of one prepared set; "" is TFDS's default.
      split: TFDS split, such as "train", "val" or "train+restval".

    Raises:
      DataError: nothing prepared there, not ArrayRecord, no such split, or no captions.
    """

    def __init__(self, data_dir: str | Path, split: str) -> None:
        folder = _find(_data_dir(data_dir))
        builder = tfds.builder_from_directory(folder)
        if builder.info.file_format.value != "array_record":
            raise _not_prepared(folder, f"a {builder.info.file_format.value} set")
        features = builder.info.features
        if not {"image", "captions"} <= set(features):
            raise DataError(
                f"TFDS set: got the features {sorted(features)} in {str(folder)!r}, wanted image"
                " and captions; prepare coco_captions"
            )
        try:
            self._rows = builder.as_data_source(
                split=split, decoders={"image": tfds.decode.SkipDecoding()}
            )
        except (ValueError, KeyError) as error:
            raise DataError(
                f"TFDS set: got split {split!r}, wanted one of {sorted(builder.info.splits)};"
                " correct it"
            ) from error
        self.name = builder.name
        self._names = features["objects"]["label"].names if "objects" in features else []
        text = f"{builder.info.full_name} {split} {len(self._rows)} {features}"
        self._digest = hashlib.blake2b(text.encode(), digest_size=8).hexdigest()
        self._last = threading.local()

    def __len__(self) -> int:
        return len(self._rows)

    def read_image(self, index: int, min_side: int = 0) -> np.ndarray:
        """See Source."""
        return decode_image(self._row(index)["image"], min_side)

    def read_grey(self, index: int, min_side: int = 0) -> np.ndarray:
        """See Source."""
        return decode_grey(self._row(index)["image"], min_side)

    def captions(self, index: int) -> list[str]:
        """See Source."""
        return [_text(text) for text in _column(self._row(index)["captions"], "text")]

    def labels(self, index: int) -> list[str]:
        """Names of the object categories in the image, each once, in the order of COCO."""
        if not self._names:
            return []
        numbers = {int(number) for number in _column(self._row(index)["objects"], "label")}
        return [self._names[number] for number in sorted(numbers)]

    def ambiguous(self, index: int) -> list[str]:  # noqa: ARG002
        """Nothing is ambiguous here."""
        return []

    def study_id(self, index: int) -> int:
        """The row: each image has captions of its own."""
        return index

    def example_id(self, index: int) -> str:
        """The file name of the image; its row where the set has none."""
        name = self._row(index).get("image/filename")
        return f"{self.name}/{index}" if name is None else _text(name)

    def digest(self) -> str:
        """Hash of the set's name, version, split, size and features."""
        return self._digest

    def _row(self, index: int) -> dict[str, Any]:
        """The record; each thread keeps its last one, as image and captions are asked apart."""
        if getattr(self._last, "index", None) != index:
            self._last.row, self._last.index = self._rows[index], index
        return self._last.row


def _data_dir(data_dir: str | Path) -> Path:
    return Path(data_dir or tfds.core.constants.DATA_DIR).expanduser()


def _find(data_dir: Path) -> Path:
    """Folder of the newest prepared set at or under `data_dir`."""
    if (data_dir / "dataset_info.json").is_file():
        return data_dir
    found = [
        (tfds.core.Version(file.parent.name), file.parent)
        for file in (data_dir / NAME).glob("**/dataset_info.json")
        if tfds.core.Version.is_valid(file.parent.name)
    ]
    if not found:
        raise _not_prepared(data_dir, "no prepared set")
    return max(found, key=lambda entry: entry[0])[1]


def _not_prepared(data_dir: Path, got: str) -> DataError:
    return DataError(
        f"COCO: got {got} in {str(data_dir)!r}, wanted {NAME} in ArrayRecord; run: tvdim data"
        f" prepare coco --from DIR --data_dir {data_dir}"
    )


def _column(sequence: Any, field: str) -> Any:
    """One field of a TFDS sequence, which comes as a dict of columns or a list of dicts."""
    if isinstance(sequence, dict):
        return sequence[field]
    return [entry[field] for entry in sequence]


def _text(value: bytes | str) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value
