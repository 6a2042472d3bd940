"""A small synthetic tree in the layout of MIMIC-CXR-JPG: drawn blobs, invented reports."""

import csv
import gzip
import io
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

NAMES = (
    *("Atelectasis", "Cardiomegaly", "Consolidation", "Edema", "Enlarged Cardiomediastinum"),
    *("Fracture", "Lung Lesion", "Lung Opacity", "No Finding", "Pleural Effusion"),
    *("Pleural Other", "Pneumonia", "Pneumothorax", "Support Devices"),
)
METADATA = (
    *("dicom_id", "subject_id", "study_id", "PerformedProcedureStepDescription", "ViewPosition"),
    *("Rows", "Columns", "StudyDate", "StudyTime", "ProcedureCodeSequence_CodeMeaning"),
    *("ViewCodeSequence_CodeMeaning", "PatientOrientationCodeSequence_CodeMeaning"),
)
NORMAL = ("The lungs are clear.", "There is no pleural effusion or pneumothorax.")  # boilerplate
FINDINGS = {
    "Cardiomegaly": "The heart is moderately enlarged.",
    "Pleural Effusion": "A small effusion blunts the {side} costophrenic angle.",
    "Edema": "There is mild pulmonary edema.",
    "Lung Opacity": "An opacity of {size} cm lies in the {side} upper lung.",
}
PNEUMOTHORAX = {
    1: "There is a small {side} apical pneumothorax.",
    0: NORMAL[1],
    -1: "A small {side} pneumothorax cannot be excluded.",
}
_SIDE = 48


class MimicRow(NamedTuple):
    """What was written of one image: `sentences` and `labels` are those of its study."""

    dicom_id: str
    subject_id: int
    study_id: int
    view: str
    split: str
    path: str  # under the tree
    labels: dict[str, int]
    sentences: tuple[str, ...]


def write_mimic_tree(
    folder: Path,
    *,
    num_subjects: int = 8,
    num_held_out: int = 1,
    seed: int = 0,
    zipped: bool = False,
    beside: bool = False,
) -> list[MimicRow]:
    """Writes files, reports and tables.

    Each patient has one or two studies, each study one or two frontal images and sometimes a
    lateral one; every other image is a 16-bit PNG. Finding k of a study is a bright blob k in its
    images; a pneumothorax is not drawn. The last patients make up "validate" and "test",
    num_held_out each.

    Args:
      folder: gets the tree.
      num_subjects: patients, more than twice num_held_out.
      num_held_out: patients in "validate", and in "test".
      seed: of everything.
      zipped: tables as .csv.gz.
      beside: reports beside the study folders, not under mimic-cxr-reports.
    """
    rng = np.random.default_rng(seed)
    rows: list[MimicRow] = []
    for number in range(num_subjects):
        subject = 10_000_000 + 1_000_003 * number % 9_000_000 + number
        places = {0: "test", 1: "validate"}
        split = places.get((num_subjects - 1 - number) // num_held_out, "train")
        for study in range(50_000_000 + 10 * number, 50_000_000 + 10 * number + rng.integers(1, 3)):
            labels, sentences = _study(rng)
            place = f"p{str(subject)[:2]}/p{subject}/s{study}"
            _write(folder, place, _report(sentences), beside)
            views = [*rng.choice(["PA", "AP"], rng.integers(1, 3)), *["LATERAL"][: rng.integers(2)]]
            for view in views:
                dicom = "-".join(f"{word:08x}" for word in rng.integers(0, 2**32, 5))
                path = f"files/{place}/{dicom}.{'png' if len(rows) % 2 else 'jpg'}"
                _draw(folder / path, labels, rng)
                rows.append(
                    MimicRow(dicom, subject, study, str(view), split, path, labels, sentences)
                )
    write_tables(folder, rows, zipped=zipped)
    return rows


def write_tables(folder: Path, rows: list[MimicRow], *, zipped: bool = False) -> None:
    """The four tables, in the official columns."""
    ids = [[row.dicom_id, row.study_id, row.subject_id, row.split] for row in rows]
    _table(folder, "split", ("dicom_id", "study_id", "subject_id", "split"), ids, zipped)
    meta = [
        [row.dicom_id, row.subject_id, row.study_id, "CHEST (PA AND LAT)", row.view, _SIDE, _SIDE,
         21800506, "213014.531", "CHEST (PA AND LAT)", row.view, "Erect"]
        for row in rows
    ]  # fmt: skip
    _table(folder, "metadata", METADATA, meta, zipped)
    studies = {row.study_id: row for row in rows}.values()
    marks = [
        [
            row.subject_id,
            row.study_id,
            *(f"{row.labels[n]}.0" if n in row.labels else "" for n in NAMES),
        ]
        for row in studies
    ]
    for labeller in ("chexpert", "negbio"):
        _table(folder, labeller, ("subject_id", "study_id", *NAMES), marks, zipped)


def _study(rng: np.random.Generator) -> tuple[dict[str, int], tuple[str, ...]]:
    """Each finding is present or in doubt, absent, or not mentioned."""
    chosen = [name for name in FINDINGS if rng.random() < 0.35]
    labels = {name: int(rng.choice([1, 1, -1])) for name in chosen}
    labels |= {name: 0 for name in FINDINGS if name not in chosen and rng.random() < 0.7}
    labels["Pneumothorax"] = int(rng.choice([0, 0, 0, 1, -1]))
    if not chosen and labels["Pneumothorax"] == 0:
        labels["No Finding"] = 1
    words = {"side": str(rng.choice(["left", "right"])), "size": f"{rng.uniform(1, 5):.1f}"}
    sentences = tuple(FINDINGS[name].format(**words) for name in chosen)
    said = PNEUMOTHORAX[labels["Pneumothorax"]].format(**words)
    return labels, (*sentences, *(() if chosen else NORMAL[:1]), said)


def _report(sentences: tuple[str, ...]) -> str:
    listed = "\n".join(f" {number}. {text}" for number, text in enumerate(sentences[:1], 1))
    return (
        "                                 FINAL REPORT\n EXAMINATION:  CHEST (PA AND LAT)\n\n"
        " INDICATION:  ___ year old with cough  // pneumonia?\n\n COMPARISON:  ___.\n\n"
        f" FINDINGS:\n\n {'  '.join(sentences)}\n\n IMPRESSION:\n\n{listed}\n"
    )


def _write(folder: Path, place: str, report: str, beside: bool) -> None:
    base = folder if beside else folder / "mimic-cxr-reports"
    file = base / "files" / f"{place}.txt"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(report, encoding="utf-8")


def _draw(path: Path, labels: dict[str, int], rng: np.random.Generator) -> None:
    height, width = _SIDE, _SIDE + int(rng.integers(0, 13))
    y, x = np.mgrid[:height, :width]
    pixels = 0.2 + 0.1 * rng.random((height, width))
    for number, name in enumerate(FINDINGS):
        if labels.get(name) == 1:
            row, column = 12 + 24 * (number // 2), width // 2 - 12 + 24 * (number % 2)
            pixels += 0.6 * np.exp(-((y - row) ** 2 + (x - column) ** 2) / 20)
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = pixels / pixels.max()
    deep = path.suffix == ".png"
    image = (pixels * (65535 if deep else 255)).astype(np.uint16 if deep else np.uint8)
    Image.fromarray(image).save(path)


def _table(
    folder: Path, name: str, header: tuple[str, ...], rows: list[list], zipped: bool
) -> None:
    text = io.StringIO()
    csv.writer(text).writerows([header, *rows])
    file = folder / f"mimic-cxr-2.0.0-{name}.csv"
    if zipped:
        Path(f"{file}.gz").write_bytes(gzip.compress(text.getvalue().encode()))
    else:
        file.write_text(text.getvalue(), encoding="utf-8")
