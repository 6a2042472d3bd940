"""MIMIC-CXR-JPG: chest X-rays with radiology reports, read from the official folders.

Layout under one folder, as PhysioNet gives it (nothing is downloaded or shipped here):
files/p10/p10000032/s50414267/DICOM.jpg (or .png, also with 16 bits), the tables
mimic-cxr-2.0.0-{metadata,split,chexpert,negbio}.csv (or .csv.gz), and the reports of MIMIC-CXR as
mimic-cxr-reports/files/p10/p10000032/s50414267.txt or files/p10/p10000032/s50414267.txt.
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from tvdim_jax.data.errors import BadExample, DataError
from tvdim_jax.data.files import read_inside
from tvdim_jax.data.image_ops import decode_grey, decode_image
from tvdim_jax.data.reports import report_text
from tvdim_jax.data.sources.mimic_tables import (
    LABEL_NAMES,
    LABELLERS,
    SPLITS,
    MimicImage,
    read_images,
    read_labels,
)

FRONTAL = ("PA", "AP")

_IMAGE_ENDINGS = (".jpg", ".png")
_REPORT_FOLDERS = ("mimic-cxr-reports/files", "files")
_MAX_LOOKED_FOR = 1000  # studies, until the first report is found


class MimicCxr:
    """Images of one official split; a study may have several, and they share its report.

    Labels are those of the study. The labeller's 1 is a label, -1 (uncertain) is `ambiguous` and
    not scored, 0 (absent) is neither, and neither is a blank, which is `unmentioned`: whoever
    scores decides whether that counts as absent (as it mostly is) or not at all (as the LMI authors
    do). A study that the labeller left out has every name unmentioned.

    The tables are checked here, images and reports when they are read. A missing or broken image
    is a bad example; a report that is missing or cannot be read is no caption.

    Args:
      path: the folder.
      split: "train", "validate" or "test".
      views: the values of ViewPosition to keep.
      labeller: "chexpert" or "negbio".

    Raises:
      DataError: a table is missing or broken, a patient is in two splits, no image is left, or not
        one report can be found.
    """

    def __init__(
        self,
        path: str | Path,
        split: str,
        views: Sequence[str] = FRONTAL,
        labeller: str = "chexpert",
    ) -> None:
        if split not in SPLITS or labeller not in LABELLERS:
            raise DataError(
                f"MIMIC-CXR: got split={split!r}, labeller={labeller!r}, wanted one of {SPLITS}"
                f" and one of {LABELLERS}; correct them"
            )
        self.name = "mimic_cxr"
        self._root = Path(path).resolve()
        self._images = [
            image
            for image in read_images(self._root)
            if image.split == split and image.view in views
        ]
        if not self._images:
            raise DataError(
                f"MIMIC-CXR: got no image of split {split!r} with a view of {tuple(views)} in the"
                f" tables of {str(path)!r}, wanted at least 1; check the folder and the views"
            )
        self._labels = read_labels(self._root, labeller)
        self._check_reports()

    def __len__(self) -> int:
        return len(self._images)

    def read_image(self, index: int, min_side: int = 0) -> np.ndarray:
        """See Source; grey in all three channels."""
        return decode_image(self._content(index), min_side)

    def read_grey(self, index: int, min_side: int = 0) -> np.ndarray:
        """See Source."""
        return decode_grey(self._content(index), min_side)

    def captions(self, index: int) -> list[str]:
        """What the report says of the image (reports.report_text), as one text; or nothing."""
        text = report_text(self._report(self._images[index]))
        return [text] if text else []

    def labels(self, index: int) -> list[str]:
        """Findings that the study's report states."""
        return self._names(index, 1)

    def ambiguous(self, index: int) -> list[str]:
        """Findings of which the report is uncertain."""
        return self._names(index, -1)

    def unmentioned(self, index: int) -> list[str]:
        """Findings of which the report says nothing."""
        return self._names(index, None)

    def study_id(self, index: int) -> int:
        """MIMIC's number of the study."""
        return self._images[index].study_id

    def subject_id(self, index: int) -> int:
        """MIMIC's number of the patient, who is in this split only."""
        return self._images[index].subject_id

    def example_id(self, index: int) -> str:
        """Path of the image under files, without its ending."""
        return _image_path(self._images[index])

    def digest(self) -> str:
        """Hash of the images and of their labels, not of the reports' text."""
        digest = hashlib.blake2b(digest_size=8)
        for image in self._images:
            digest.update(f"{image} {self._labels.get(image.study_id, {})}\n".encode())
        return digest.hexdigest()

    def _names(self, index: int, mark: int | None) -> list[str]:
        marks = self._labels.get(self._images[index].study_id, {})
        return [name for name in LABEL_NAMES if marks.get(name) == mark]

    def _content(self, index: int) -> bytes:
        for ending in _IMAGE_ENDINGS:
            name = f"files/{_image_path(self._images[index])}{ending}"
            try:
                return read_inside(self._root, name)
            except BadExample as error:
                if error.reason != "missing file":
                    raise
        raise BadExample("missing file")

    def _report(self, image: MimicImage) -> str:
        for folder in _REPORT_FOLDERS:
            try:
                content = read_inside(self._root, f"{folder}/{_study_path(image)}.txt")
            except BadExample:
                continue
            return content.decode("utf-8", "replace")
        return ""

    def _check_reports(self) -> None:
        """A folder without reports would train on nothing, and say nothing."""
        studies = {image.study_id: image for image in self._images[:_MAX_LOOKED_FOR]}
        if not any(self._report(image) for image in studies.values()):
            first = _study_path(self._images[0])
            raise DataError(
                f"MIMIC-CXR: got no report of the first {len(studies)} studies in"
                f" {str(self._root)!r}, wanted {_REPORT_FOLDERS[0]}/{first}.txt and so on; unpack"
                " mimic-cxr-reports.zip of MIMIC-CXR there"
            )


def _study_path(image: MimicImage) -> str:
    subject = str(image.subject_id)
    return f"p{subject[:2]}/p{subject}/s{image.study_id}"


def _image_path(image: MimicImage) -> str:
    return f"{_study_path(image)}/{image.dicom_id}"
