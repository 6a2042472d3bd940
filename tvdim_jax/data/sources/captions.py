"""A folder of images with captions: rows of captions.jsonl.

A row is {"image": path under the folder, "captions": [..], "labels": [..], "ambiguous": [..],
"patient": whose image it is}; the last three may be missing, other fields are ignored. One label
may also be written as a string. A patient is a string or a whole number, on every row or on none.
"""

import hashlib
import json
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import numpy as np

from tvdim_jax.data.errors import BadExample, DataError
from tvdim_jax.data.files import read_inside
from tvdim_jax.data.image_ops import decode_grey, decode_image

SPLITS = ("train", "validation", "all")
MAX_LINE_BYTES = 2**20


class _Row(NamedTuple):
    image: str
    captions: list[str]
    labels: list[str]
    ambiguous: list[str]
    patient: str | None
    repeated: bool  # an earlier row names the same image
    line: int


class CaptionsFolder:
    """Rows of captions.jsonl in `path`; every line is checked here, images when they are read.

    Args:
      path: the folder.
      split: "train", "validation" or "all". The CRC-32 of the patient decides where a row goes, or
        that of the image name where the rows name no patients, so that no patient and no image is
        in both, whatever else the file holds.
      validation_fraction: share of the patients or images in "validation", in [0, 1); 0 leaves it
        empty.
      file: name of the file of rows.
      label_field: field of a row that holds its labels.

    Raises:
      DataError: no such folder or file, a broken line (named with its number), no rows.
    """

    def __init__(
        self,
        path: str | Path,
        split: str = "all",
        validation_fraction: float = 0.0,
        *,
        file: str = "captions.jsonl",
        label_field: str = "labels",
    ) -> None:
        if split not in SPLITS or not 0 <= validation_fraction < 1:
            raise DataError(
                f"captions folder: got split={split!r}, validation_fraction={validation_fraction},"
                f" wanted one of {SPLITS} and a share in [0, 1); correct them"
            )
        self.name = "captions"
        self._root = Path(path).resolve()
        rows = self._root / file
        if not rows.is_file():
            raise DataError(
                f"captions folder: got {str(path)!r}, wanted a folder with {file} in it;"
                " set data.path to it"
            )
        digest = hashlib.blake2b(f"{split} {validation_fraction}".encode(), digest_size=8)
        images: set[str] = set()
        subjects: dict[str, int] = {}  # patient, or image -> the line that first names it
        has_patients: bool | None = None
        self._rows: list[_Row] = []
        self._subjects: list[int] = []
        for number, line in _lines(rows):
            digest.update(line)
            row = _parse(line, f"{rows}:{number}", images, number, label_field)
            if has_patients is None:
                has_patients = row.patient is not None
            _check_patient(row, has_patients, f"{rows}:{number}")
            owner = row.image if row.patient is None else row.patient
            subject = subjects.setdefault(owner, number)
            if split in ("all", _split_of(owner, validation_fraction)):
                self._rows.append(row)
                self._subjects.append(subject)
        if has_patients:  # a run that split these lines by the image must not go on
            digest.update(b"split by patient")
        self._digest = digest.hexdigest()
        if not self._rows:
            raise DataError(
                f"captions folder: got no rows for split {split!r} in {rows}, wanted at least 1;"
                f" check the file and data.validation_fraction={validation_fraction}"
            )

    def __len__(self) -> int:
        return len(self._rows)

    def read_image(self, index: int, min_side: int = 0) -> np.ndarray:
        """See Source; a second row for the same image is the bad example "duplicate image"."""
        return decode_image(self._content(index), min_side)

    def read_grey(self, index: int, min_side: int = 0) -> np.ndarray:
        """See Source and read_image."""
        return decode_grey(self._content(index), min_side)

    def captions(self, index: int) -> list[str]:
        """See Source."""
        return list(self._rows[index].captions)

    def labels(self, index: int) -> list[str]:
        """See Source."""
        return list(self._rows[index].labels)

    def ambiguous(self, index: int) -> list[str]:
        """See Source."""
        return list(self._rows[index].ambiguous)

    def study_id(self, index: int) -> int:
        """The row: each image has captions of its own."""
        return index

    def subject_id(self, index: int) -> int:
        """See KnowsSubjects: the line that first names the patient; without patients, the image."""
        return self._subjects[index]

    def example_id(self, index: int) -> str:
        """The image name; with the line number behind it in a second row for the same image."""
        row = self._rows[index]
        return f"{row.image} (line {row.line})" if row.repeated else row.image

    def digest(self) -> str:
        """Hash of the file's lines and of the split."""
        return self._digest

    def _content(self, index: int) -> bytes:
        row = self._rows[index]
        if row.repeated:
            raise BadExample("duplicate image")
        return read_inside(self._root, row.image)


def _split_of(owner: str, validation_fraction: float) -> str:
    share = zlib.crc32(owner.encode(errors="surrogatepass")) / 2**32
    return "validation" if share < validation_fraction else "train"


def _lines(file: Path) -> Iterator[tuple[int, bytes]]:
    """Numbered lines that are not blank."""
    with file.open("rb") as stream:
        for number, line in enumerate(iter(lambda: stream.readline(MAX_LINE_BYTES + 1), b""), 1):
            if len(line) > MAX_LINE_BYTES:
                _broken(f"{file}:{number}", "a longer line", f"at most {MAX_LINE_BYTES} bytes")
            if line.strip():
                yield number, line


def _parse(line: bytes, where: str, images: set[str], number: int, label_field: str) -> _Row:
    try:
        row = json.loads(line, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        _broken(where, str(error) or "too deep nesting", "one JSON object in UTF-8")
    if not isinstance(row, dict):
        _broken(where, type(row).__name__, "one JSON object")
    image = row.get("image")
    if not isinstance(image, str):
        _broken(where, f"image={_short(image)}", "a string")
    repeated = image in images
    images.add(image)
    captions = _texts(row, "captions", None, where)
    label = row.get(label_field)
    labels = [label] if isinstance(label, str) else _texts(row, label_field, [], where)
    ambiguous = _texts(row, "ambiguous", [], where)
    return _Row(image, captions, labels, ambiguous, _patient(row, where), repeated, number)


def _patient(row: dict[str, Any], where: str) -> str | None:
    patient = row.get("patient")
    if patient is None:
        return None
    if isinstance(patient, bool) or not isinstance(patient, (str, int)) or patient == "":
        _broken(where, f"patient={_short(patient)}", "a name or a whole number")
    return str(patient)


def _check_patient(row: _Row, has_patients: bool, where: str) -> None:
    if has_patients == (row.patient is None):
        _broken(
            where,
            f"patient={_short(row.patient)}",
            "a patient on every line or on none: give one whom nobody knows a name of its own",
        )


def _texts(row: dict[str, Any], field: str, default: list[str] | None, where: str) -> list[str]:
    value = row.get(field, default)
    if not isinstance(value, list) or not all(isinstance(text, str) for text in value):
        _broken(where, f"{field}={_short(value)}", "a list of strings")
    return value


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _broken(where: str, got: str, wanted: str) -> NoReturn:
    raise DataError(f"{where}: got {got}, wanted {wanted}; correct or remove this line")
