"""Reading of the CSV tables of MIMIC-CXR-JPG, plain or gzipped; every row is checked."""

import csv
import gzip
import zlib
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple, NoReturn

from tvdim_jax.data.errors import DataError

SPLITS = ("train", "validate", "test")
LABELLERS = ("chexpert", "negbio")
LABEL_NAMES = (
    *("Atelectasis", "Cardiomegaly", "Consolidation", "Edema", "Enlarged Cardiomediastinum"),
    *("Fracture", "Lung Lesion", "Lung Opacity", "No Finding", "Pleural Effusion"),
    *("Pleural Other", "Pneumonia", "Pneumothorax", "Support Devices"),
)

_PREFIX = "mimic-cxr-2.0.0-"  # also in release 2.1.0
_VALUES = {"": None, "1": 1, "1.0": 1, "0": 0, "0.0": 0, "-1": -1, "-1.0": -1}
_MAX_NAMED = 5


class MimicImage(NamedTuple):
    """One image.

    Attributes:
      dicom_id: name of the image.
      subject_id: number of the patient.
      study_id: number of the study, 0 to 2**31 - 1.
      view: ViewPosition, such as "PA"; "" where none is given.
      split: one of SPLITS.
    """

    dicom_id: str
    subject_id: int
    study_id: int
    view: str
    split: str


def read_images(folder: Path) -> list[MimicImage]:
    """All images of the metadata table with their official split.

    Args:
      folder: of the tables.

    Raises:
      DataError: a table is missing or broken, an image is named twice, has no split or another
        patient or study there, or a patient is in more than one split (named).
    """
    splits: dict[str, tuple[str, str, str]] = {}
    of_subject: dict[str, set[str]] = defaultdict(set)
    columns = ("dicom_id", "subject_id", "study_id", "split")
    for where, (dicom, subject, study, split) in _rows(folder, "split", columns):
        if dicom in splits or split not in SPLITS:
            _broken(where, f"{dicom!r} in split {split!r}", f"a new image and one of {SPLITS}")
        splits[dicom] = subject, study, split
        of_subject[subject].add(split)
    shared = sorted(subject for subject, names in of_subject.items() if len(names) > 1)
    if shared:
        named = ", ".join(shared[:_MAX_NAMED]) + (", ..." if len(shared) > _MAX_NAMED else "")
        raise DataError(
            f"MIMIC-CXR: got {len(shared)} patients in more than one split ({named}) in"
            f" {folder}/{_PREFIX}split.csv, wanted each in one; take the official table"
        )
    images: dict[str, MimicImage] = {}
    columns = ("dicom_id", "subject_id", "study_id", "ViewPosition")
    for where, (dicom, subject, study, view) in _rows(folder, "metadata", columns):
        if dicom in images or splits.get(dicom, ())[:2] != (subject, study):
            _broken(where, f"{dicom!r}", "a new image, with this patient and study in the splits")
        numbers = _number(subject, where), _number(study, where)
        images[dicom] = MimicImage(dicom, *numbers, view, splits[dicom][2])
    return list(images.values())


def read_labels(folder: Path, labeller: str) -> dict[int, Mapping[str, int]]:
    """The labels of each study that were mentioned: name -> 1 (present), 0 (absent) or -1.

    Args:
      folder: of the tables.
      labeller: one of LABELLERS, the program that read the reports.

    Raises:
      DataError: the table is missing or broken, or names a study twice.
    """
    labels: dict[int, Mapping[str, int]] = {}
    for where, (study, *values) in _rows(folder, labeller, ("study_id", *LABEL_NAMES)):
        number = _number(study, where)
        unknown = [value for value in values if value not in _VALUES]
        if unknown or number in labels:
            _broken(where, f"study {study} with {unknown}", "a new study and 1, 0, -1 or nothing")
        marks = zip(LABEL_NAMES, (_VALUES[value] for value in values), strict=True)
        labels[number] = {name: mark for name, mark in marks if mark is not None}
    return labels


def _rows(folder: Path, name: str, columns: tuple[str, ...]) -> Iterator[tuple[str, list[str]]]:
    """Place in the file and the fields of `columns` of each row that is not blank."""
    plain = folder / f"{_PREFIX}{name}.csv"
    file = next((f for f in (plain, Path(f"{plain}.gz")) if f.is_file()), None)
    if file is None:
        raise DataError(
            f"MIMIC-CXR: got no {plain.name} or {plain.name}.gz in {str(folder)!r}, wanted the"
            " tables of MIMIC-CXR-JPG beside its folder files; set data.path to the folder of both"
        )
    opened = gzip.open if file.suffix == ".gz" else open
    try:
        with opened(file, "rt", encoding="utf-8-sig", newline="") as stream:
            reader = csv.reader(stream)
            header = next(reader, [])
            if missing := [column for column in columns if column not in header]:
                _broken(f"{file}:1", f"no column {missing}", f"{list(columns)}")
            places = [header.index(column) for column in columns]
            for fields in filter(None, reader):
                where = f"{file}:{reader.line_num}"
                if len(fields) != len(header):
                    _broken(where, f"{len(fields)} fields", f"{len(header)}")
                yield where, [fields[place].strip() for place in places]
    except (OSError, EOFError, zlib.error, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{file}: got {error}, wanted CSV in UTF-8; get the file again") from error


def _number(text: str, where: str) -> int:
    number = int(text) if text.isascii() and text.isdigit() and len(text) <= 10 else -1
    if not 0 <= number < 2**31:
        _broken(where, f"number {text[:20]!r}", "digits below 2**31")
    return number


def _broken(where: str, got: str, wanted: str) -> NoReturn:
    raise DataError(f"{where}: got {got}, wanted {wanted}; correct or remove this line")
