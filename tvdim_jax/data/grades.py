"""A table of severity grades, such as those of pulmonary edema: CSV in UTF-8.

One column, "grade", holds 0, 1, 2 or 3, or -1 or nothing for an image without a grade. One other
names what is graded: "study_id" (all images of the study), "dicom_id" (the last part of an image's
name) or "image" (its whole name, Source.example_id). Further columns are ignored.
"""

import csv
from collections.abc import Iterable
from pathlib import Path
from typing import NoReturn, TextIO

from tvdim_jax.data.errors import DataError
from tvdim_jax.data.sources.base import Source

NUM_GRADES = 4
_IDS = ("study_id", "dicom_id", "image")
_NONE = ("", "-1")


class Grades:
    """The grades of a table.

    Args:
      path: the file.

    Raises:
      DataError: no such file, or a line that cannot be read (named with its number).
    """

    def __init__(self, path: str | Path) -> None:
        self._grade: dict[str, int] = {}
        try:
            with Path(path).open(encoding="utf-8-sig", newline="") as stream:
                self._read(stream, str(path))
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            raise DataError(
                f"grades: got {error}, wanted a CSV with the columns grade and one of "
                f"{', '.join(_IDS)}; set eval.grades_path to it"
            ) from error

    def of(self, source: Source) -> dict[int, int]:
        """Row -> grade of the images of a source that have one, the rows increasing."""
        names = (self._name(source, row) for row in range(len(source)))
        return {row: self._grade[name] for row, name in enumerate(names) if name in self._grade}

    def matched(self, sources: Iterable[Source]) -> str:
        """How many of the graded rows name an image of some of the sources, in words."""
        named = {self._name(source, row) for source in sources for row in range(len(source))}
        found = len(named & self._grade.keys())
        return f"{found:,} of {len(self._grade):,} rows of the table matched an image"

    def _name(self, source: Source, row: int) -> str:
        if self._id == "study_id":
            return str(source.study_id(row))
        name = source.example_id(row)
        return name.rsplit("/", 1)[-1] if self._id == "dicom_id" else name

    def _read(self, stream: TextIO, path: str) -> None:
        reader = csv.reader(stream)
        header = [field.strip() for field in next(reader, [])]
        ids = [name for name in _IDS if name in header]
        if "grade" not in header or len(ids) != 1:
            _broken(f"{path}:1", f"the columns {header}", f"grade and one of {', '.join(_IDS)}")
        self._id = ids[0]
        places = header.index(self._id), header.index("grade")
        for fields in filter(None, reader):
            where = f"{path}:{reader.line_num}"
            if len(fields) != len(header):
                _broken(where, f"{len(fields)} fields", f"{len(header)}")
            name, grade = (fields[place].strip() for place in places)
            if grade in _NONE:
                continue
            if grade not in map(str, range(NUM_GRADES)):
                _broken(where, f"grade {grade[:20]!r}", "0, 1, 2, 3, or -1 for none")
            if self._grade.setdefault(name, int(grade)) != int(grade):
                _broken(where, f"a second grade of {name!r}", "one")


def _broken(where: str, got: str, wanted: str) -> NoReturn:
    raise DataError(f"{where}: got {got}, wanted {wanted}; correct or remove this line")
