"""COCO and Flickr30k captions in the splits of Karpathy and Li (arXiv 1412.2306), from one JSON.

Layout under one folder: dataset_coco.json or dataset_flickr30k.json, and the images: of COCO in
train2014 and val2014, of Flickr30k in flickr30k-images or images.
"""

from pathlib import Path
from typing import Any

from tvdim_jax.data.errors import DataError
from tvdim_jax.data.sources.records import (
    Record,
    RecordSource,
    files_digest,
    find_file,
    read_json,
)

FILES = ("dataset_coco.json", "dataset_flickr30k.json")
SPLITS = ("train", "restval", "val", "test")

_FOLDERS = ("", "flickr30k-images/", "images/")


def karpathy_captions(path: str | Path, split: str) -> RecordSource:
    """Images with all their captions; for training and for retrieval with several captions.

    An image in the file twice, one without a caption and a record of another form are bad examples;
    the last are so in every split, as nobody knows theirs.

    Args:
      path: the folder.
      split: "train", "restval", "val" or "test", or several as in "train+restval", which is what
        COCO's 113,287 training images are.

    Raises:
      DataError: no such split, no such file or another content, or nothing good in the split.
    """
    splits = split.split("+")
    if not set(splits) <= set(SPLITS):
        raise DataError(
            f"Karpathy splits: got split={split!r}, wanted some of {SPLITS} with + between them; "
            "correct it"
        )
    root = Path(path)
    file = find_file(root, FILES, "Karpathy splits")
    records: list[Record] = []
    seen: set[str] = set()
    for number, row in enumerate(read_json(file, "images")):
        if not isinstance(row, dict) or row.get("split") not in SPLITS:
            records.append(Record(f"{file.name}[{number}]", reason="broken record"))
        elif row["split"] in splits:
            records.append(_record(row, f"{file.name}[{number}]", seen))
    name = file.stem.removeprefix("dataset_")
    return RecordSource(name, root, records, files_digest([file], split))


def _record(row: dict[str, Any], where: str, seen: set[str]) -> Record:
    folder, name = row.get("filepath", ""), row.get("filename")
    sentences = row.get("sentences")
    if not (isinstance(folder, str) and isinstance(name, str) and isinstance(sentences, list)):
        return Record(where, reason="broken record")
    texts: list[Any] = [text.get("raw") if isinstance(text, dict) else None for text in sentences]
    if not all(isinstance(text, str) for text in texts):
        return Record(where, reason="broken record")
    image = f"{folder}/{name}" if folder else name
    if image in seen:
        return Record(f"{image} ({where})", reason="duplicate image")
    seen.add(image)
    reason = "" if any(text.strip() for text in texts) else "no caption"
    return Record(image, tuple(f"{each}{image}" for each in _FOLDERS), tuple(texts), reason)
