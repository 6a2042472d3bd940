"""Tables of severity grades, and what is wrong with them."""

import pytest

from tests.reference.label_table import Table
from tvdim_jax.data.errors import DataError
from tvdim_jax.data.grades import Grades


class Studies(Table):
    """Row i is image "p1/s<i // 2>/d<i>" of study i // 2."""

    def study_id(self, row):
        return row // 2

    def example_id(self, row):
        return f"p1/s{row // 2}/d{row}"


def grades_of(tmp_path, text):
    path = tmp_path / "grades.csv"
    path.write_text(text, encoding="utf-8")
    return Grades(path).of(Studies(6))


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("study_id,grade\n1,3\n0,-1\n9,1\n", {2: 3, 3: 3}),
        ("\ufeffgrade,dicom_id,note\n0,d4,x\n2,d1,\n\n,d3,\n", {1: 2, 4: 0}),
        ("image,grade\np1/s2/d5, 1 \np1/s2/d5,1\n", {5: 1}),
    ],
)
def test_grades_by_each_kind_of_name(tmp_path, text, wanted):
    assert grades_of(tmp_path, text) == wanted


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("study_id,grade\n1,3\n0,-1\n9,1\n", "1 of 2 rows"),
        ("image,grade\np1/s0/d0,1\np1/s5/d11,0\nd4,2\n", "2 of 3 rows"),
        ("dicom_id,grade\n17,3\n", "0 of 1 rows"),
    ],
)
def test_how_many_rows_name_an_image(tmp_path, text, wanted):
    """Of two sources; a row without a grade does not count, nor does one of two images twice."""
    path = tmp_path / "grades.csv"
    path.write_text(text, encoding="utf-8")
    found = Grades(path).matched([Studies(6), Studies(12)])
    assert found == f"{wanted} of the table matched an image"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"grades.csv:1: got the columns \[\], wanted grade and one of study_id, dicom_id"),
        ("study_id,image,grade\n", "wanted grade and one of study_id, dicom_id, image; correct"),
        ("study_id,severity\n1,2\n", r"got the columns \['study_id', 'severity'\]"),
        ("study_id,grade\n1,2\n2,4\n", "grades.csv:3: got grade '4', wanted 0, 1, 2, 3, or -1"),
        ("study_id,grade\n1,1.0\n", "got grade '1.0'"),
        ("study_id,grade\n1\n", "grades.csv:2: got 1 fields, wanted 2; correct or remove"),
        ("study_id,grade\n1,2\n1,3\n", "grades.csv:3: got a second grade of '1', wanted one"),
    ],
)
def test_broken_tables(tmp_path, text, message):
    with pytest.raises(DataError, match=message):
        grades_of(tmp_path, text)


def test_no_table(tmp_path):
    with pytest.raises(DataError, match=r"grades: got .*No such file.*set eval.grades_path to it"):
        Grades(tmp_path / "none.csv")
