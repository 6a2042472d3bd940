import gzip

import pytest

from tests.reference.mimic_tree import NAMES, write_mimic_tree, write_tables
from tvdim_jax.data.errors import DataError
from tvdim_jax.data.sources.mimic_tables import (
    LABEL_NAMES,
    LABELLERS,
    MimicImage,
    read_images,
    read_labels,
)


@pytest.mark.parametrize("zipped", [False, True])
def test_tables(tmp_path, zipped):
    rows = write_mimic_tree(tmp_path, zipped=zipped)
    wanted = [MimicImage(r.dicom_id, r.subject_id, r.study_id, r.view, r.split) for r in rows]
    assert read_images(tmp_path) == wanted
    assert LABEL_NAMES == NAMES
    for labeller in LABELLERS:
        assert read_labels(tmp_path, labeller) == {row.study_id: row.labels for row in rows}


@pytest.fixture
def tree(tmp_path):
    return tmp_path, write_mimic_tree(tmp_path, num_subjects=4)


def test_patients_in_two_splits_are_named(tree):
    folder, rows = tree
    moved = [row._replace(split="test") if row == rows[0] else row for row in rows]
    other = [row._replace(dicom_id="x", split="validate") for row in rows[-1:]]
    write_tables(folder, [*moved, rows[0]._replace(dicom_id="y"), *other])
    named = sorted(str(row.subject_id) for row in (rows[0], rows[-1]))
    message = rf"got 2 patients in more than one split \({', '.join(named)}\) in .*split\.csv"
    with pytest.raises(DataError, match=message):
        read_images(folder)


def test_many_patients_in_two_splits_are_counted(tmp_path):
    rows = write_mimic_tree(tmp_path, num_subjects=9)
    write_tables(
        tmp_path, rows + [r._replace(dicom_id=r.dicom_id + "x", split="test") for r in rows]
    )
    with pytest.raises(DataError, match=r"got 8 patients in .*(\d{8}, ){5}\.\.\.\) in"):
        read_images(tmp_path)


@pytest.mark.parametrize("name", ["split", "metadata", "chexpert"])
def test_a_missing_table(tree, name):
    folder, _ = tree
    (folder / f"mimic-cxr-2.0.0-{name}.csv").unlink()
    with pytest.raises(DataError, match=rf"got no mimic-cxr-2.0.0-{name}.csv or .*\.gz in .*set"):
        read_images(folder) and read_labels(folder, "chexpert")


def change(folder, name: str, line: int, old: str, new: str) -> None:
    """Edits one line of a table; line 1 is the header."""
    file = folder / f"mimic-cxr-2.0.0-{name}.csv"
    lines = file.read_text().splitlines()
    assert old in lines[line - 1]
    lines[line - 1] = lines[line - 1].replace(old, new, 1)
    file.write_text("\n".join(lines) + "\n")


@pytest.mark.parametrize(
    ("name", "line", "edit", "message"),
    [
        ("split", 1, ("split", "part"), r"split.csv:1: got no column \['split'\]"),
        ("split", 2, ("train", "valid"), "split.csv:2: got '.*' in split 'valid', wanted a new"),
        ("split", 2, (",train", ""), "split.csv:2: got 3 fields, wanted 4"),
        ("split", 3, ("-", ""), "metadata.csv:3: got '.*', wanted a new image, with"),
        ("metadata", 2, (",50", ",51"), "metadata.csv:2: got '.*', wanted a new image, with"),
        ("chexpert", 3, (",50", ",x0"), r"chexpert.csv:3: got number 'x0\d+', wanted digits"),
        ("chexpert", 3, (",50", ",9950"), r"chexpert.csv:3: got number '9950\d+', wanted digits"),
        (
            "chexpert",
            3,
            ("0.0", "maybe"),
            r"chexpert.csv:3: got study \d+ with \['maybe'\], wanted",
        ),
        ("chexpert", 1, ("Edema", "Oedema"), r"chexpert.csv:1: got no column \['Edema'\]"),
    ],
)
def test_a_broken_line_is_named(tree, name, line, edit, message):
    folder, _ = tree
    change(folder, name, line, *edit)
    with pytest.raises(DataError, match=message) as error:
        read_images(folder) and read_labels(folder, "chexpert")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["split", "metadata", "chexpert"])
def test_a_line_twice(tree, name):
    folder, _ = tree
    file = folder / f"mimic-cxr-2.0.0-{name}.csv"
    lines = file.read_text().splitlines()
    file.write_text("\n".join([*lines, "", lines[1]]))
    with pytest.raises(DataError, match=rf"{name}.csv:{len(lines) + 2}: got .*, wanted a new"):
        read_images(folder) and read_labels(folder, "chexpert")


@pytest.mark.parametrize("kind", ["no UTF-8", "cut", "not zipped"])
def test_files_that_are_no_tables(tree, kind):
    folder, _ = tree
    file = folder / "mimic-cxr-2.0.0-split.csv"
    content = file.read_bytes()
    if kind == "no UTF-8":
        file.write_bytes(content + b"\xff\xfe")
    else:
        file.unlink()
        zipped = gzip.compress(content)[:-30] if kind == "cut" else content
        file.with_name(file.name + ".gz").write_bytes(zipped)
    with pytest.raises(DataError, match=r"split\.csv.*wanted CSV in UTF-8; get the file again"):
        read_images(folder)
