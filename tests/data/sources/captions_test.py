import json
import zlib

import numpy as np
import pytest

from tvdim_jax.data.errors import BadExample, DataError
from tvdim_jax.data.sources.base import KnowsSubjects
from tvdim_jax.data.sources.captions import MAX_LINE_BYTES, CaptionsFolder


def write(folder, *lines) -> None:
    (folder / "captions.jsonl").write_bytes(
        b"".join((line if isinstance(line, bytes) else line.encode()) + b"\n" for line in lines)
    )


GOOD = '{"image": "a.jpg", "captions": ["x"]}'


def test_rows(make_folder, make_jpeg):
    folder = make_folder(
        [
            ("a.jpg", make_jpeg(50), ["one", ""], {"labels": ["dog"], "subject": None}),
            ("b.jpg", make_jpeg(90), [], {"ambiguous": ["cat"]}),
        ]
    )
    source = CaptionsFolder(folder)
    assert len(source) == 2
    assert source.name == "captions"
    assert source.captions(0) == ["one", ""]
    assert [source.labels(row) for row in (0, 1)] == [["dog"], []]
    assert [source.ambiguous(row) for row in (0, 1)] == [[], ["cat"]]
    assert source.example_id(1) == "b.jpg"
    assert source.read_image(1).shape == (10, 12, 3)
    assert np.abs(source.read_image(1).astype(int) - 90).max() <= 1
    assert np.array_equal(source.read_grey(1), source.read_image(1)[..., :1] * np.uint16(257))
    assert source.study_id(1) == 1
    assert CaptionsFolder(str(folder)).digest() == source.digest()


def test_labels_of_another_field_and_file(tmp_path):
    row = {"image": "a.jpg", "captions": [], "labels": "dog", "kind": ["a", "b"]}
    write(
        tmp_path,
        json.dumps(row),
        json.dumps(row | {"image": "b.jpg", "kind": "c"}),
        GOOD[:-1] + ', "labels": []}',
    )
    (tmp_path / "captions.jsonl").rename(tmp_path / "labels.jsonl")
    for field, wanted in (("labels", [["dog"], ["dog"], []]), ("kind", [["a", "b"], ["c"], []])):
        source = CaptionsFolder(tmp_path, file="labels.jsonl", label_field=field)
        assert [source.labels(index) for index in range(3)] == wanted
    write(tmp_path, json.dumps(row | {"kind": 5}))
    (tmp_path / "captions.jsonl").rename(tmp_path / "labels.jsonl")
    with pytest.raises(DataError, match=r"labels\.jsonl:1: got kind=5, wanted a list of strings"):
        CaptionsFolder(tmp_path, file="labels.jsonl", label_field="kind")
    with pytest.raises(DataError, match=r"wanted a folder with rows\.jsonl in it"):
        CaptionsFolder(tmp_path, file="rows.jsonl")


def test_large_images_may_come_reduced(make_folder, make_jpeg):
    source = CaptionsFolder(make_folder([("a.jpg", make_jpeg(size=(64, 32)), ["x"], {})]))
    assert source.read_image(0).shape == (32, 64, 3)
    assert source.read_image(0, 16).shape == (16, 32, 3)


def test_split_follows_the_hash_of_the_name(tmp_path):
    names = [f"images/{number}.jpg" for number in range(300)]
    write(tmp_path, *(json.dumps({"image": name, "captions": ["x"]}) for name in names))
    splits = {
        split: CaptionsFolder(tmp_path, split, 0.25) for split in ("train", "validation", "all")
    }
    found = {
        split: [source.example_id(row) for row in range(len(source))]
        for split, source in splits.items()
    }
    assert found["validation"] == [n for n in names if zlib.crc32(n.encode()) < 2**32 / 4]
    assert found["train"] == [n for n in names if n not in found["validation"]]
    assert found["all"] == names
    assert 45 < len(found["validation"]) < 105
    assert len({source.digest() for source in splits.values()}) == 3
    write(tmp_path, *(json.dumps({"image": name, "captions": ["x"]}) for name in names[150:]))
    part = CaptionsFolder(tmp_path, "validation", 0.25)
    kept = {part.example_id(row) for row in range(len(part))}
    assert kept == set(found["validation"]) & set(names[150:])


def test_a_folder_without_patients_keeps_its_split_for_ever(tmp_path):
    names = [f"images/{number}.jpg" for number in range(60)]
    write(tmp_path, *(json.dumps({"image": name, "captions": ["x"]}) for name in names))
    train, test = (CaptionsFolder(tmp_path, split, 0.1) for split in ("train", "validation"))
    assert ids(test, test.example_id) == [f"images/{number}.jpg" for number in (7, 10, 19, 26, 33)]
    assert (train.digest(), test.digest()) == ("8215cd0b730978f7", "e4a28d7ddb53de0d")
    assert ids(test, test.subject_id) == [8, 11, 20, 27, 34]  # each image for itself
    assert sorted(ids(train, train.subject_id) + ids(test, test.subject_id)) == [*range(1, 61)]


def ids(source, of_row):
    return [of_row(row) for row in range(len(source))]


def test_a_patient_is_in_one_part_only(tmp_path):
    patients = ["a", "b", 7, "b", "c", "7", "d", "a", "e", "f", "g", "e"]
    rows = [{"image": f"{n}.jpg", "captions": [], "patient": p} for n, p in enumerate(patients)]
    write(tmp_path, *map(json.dumps, rows))
    whole, train, test = (
        CaptionsFolder(tmp_path, split, 0.4) for split in ("all", "train", "validation")
    )
    assert isinstance(test, KnowsSubjects)
    assert ids(whole, whole.subject_id) == [1, 2, 3, 2, 5, 3, 7, 1, 9, 10, 11, 9]
    kept = [n for n, p in enumerate(patients) if zlib.crc32(str(p).encode()) < 0.4 * 2**32]
    assert 0 < len(kept) < 12
    assert ids(test, test.example_id) == [f"{n}.jpg" for n in kept]
    assert ids(test, test.subject_id) == [whole.subject_id(n) for n in kept]
    assert not {*ids(test, test.subject_id)} & {*ids(train, train.subject_id)}
    assert len(train) + len(test) == 12


def test_the_digest_tells_a_split_by_patients_from_one_by_images(tmp_path, monkeypatch):
    write(tmp_path, GOOD[:-1] + ', "patient": 5}')
    by_patient = CaptionsFolder(tmp_path).digest()
    monkeypatch.setattr("tvdim_jax.data.sources.captions._patient", lambda row, where: None)
    assert CaptionsFolder(tmp_path).digest() != by_patient


PATIENT = '{"image": "b.jpg", "captions": [], "patient": 5}'


@pytest.mark.parametrize(
    ("first", "last", "got"),
    [
        (PATIENT, GOOD, "None"),
        (PATIENT, '{"image": "c.jpg", "captions": [], "patient": null}', "None"),
        (GOOD, PATIENT, "'5'"),
    ],
)
def test_patients_are_on_every_line_or_on_none(tmp_path, first, last, got):
    write(tmp_path, first, first, "", last)
    with pytest.raises(DataError) as error:
        CaptionsFolder(tmp_path)
    assert str(error.value) == (
        f"{tmp_path}/captions.jsonl:4: got patient={got}, wanted a patient on every line or on "
        "none: give one whom nobody knows a name of its own; correct or remove this line"
    )


def test_no_validation_part(tmp_path):
    write(tmp_path, GOOD, "", "  ")
    assert len(CaptionsFolder(tmp_path, "train", 0.0)) == 1
    with pytest.raises(DataError, match=r"got no rows for split 'validation'.*fraction=0\.0"):
        CaptionsFolder(tmp_path, "validation", 0.0)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("none.jpg", "missing file"),
        ("../../x", "path outside the data folder"),
        ("/etc/hostname", "path outside the data folder"),
        ("file:///etc/hostname", "path outside the data folder"),
        ("pipe:touch x", "path outside the data folder"),
        ("out.jpg", "path outside the data folder"),
        ("page.jpg", "unsupported format"),
        ("\ud800.jpg", "missing file"),
        ("", "missing file"),
    ],
)
def test_images_that_cannot_be_read(tmp_path, name, reason):
    folder = tmp_path / "set"
    folder.mkdir()
    (tmp_path / "secret.jpg").write_bytes(b"secret")
    (folder / "out.jpg").symlink_to(tmp_path / "secret.jpg")
    (folder / "page.jpg").write_bytes(b"<html></html>")
    write(folder, json.dumps({"image": name, "captions": ["x"]}), GOOD)
    with pytest.raises(BadExample) as error:
        CaptionsFolder(folder).read_image(0)
    assert error.value.reason == reason


def test_a_second_row_for_an_image_is_a_bad_example(make_folder, make_jpeg):
    row = ("a.jpg", make_jpeg(), ["x"], {})
    source = CaptionsFolder(make_folder([row, ("b.jpg", make_jpeg(), ["y"], {}), row]))
    assert source.read_image(0).size
    for read in (source.read_image, source.read_grey):
        with pytest.raises(BadExample, match="duplicate image"):
            read(2)
    assert [source.example_id(row) for row in range(3)] == ["a.jpg", "b.jpg", "a.jpg (line 3)"]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"image": "a.jpg", ', "got Expecting property name"),
        ("not json", "got Expecting value"),
        ('["a.jpg"]', "got list, wanted one JSON object"),
        ("null", "got NoneType, wanted one JSON object"),
        ('{"captions": ["x"]}', "got image=None, wanted a string"),
        ('{"image": 5, "captions": ["x"]}', "got image=5, wanted a string"),
        ('{"image": "a.jpg"}', "got captions=None, wanted a list of strings"),
        ('{"image": "a.jpg", "captions": "x"}', "got captions='x', wanted a list of strings"),
        ('{"image": "a.jpg", "captions": ["x", 1]}', r"got captions=\['x', 1\], wanted a list"),
        ('{"image": "a.jpg", "captions": [], "labels": {"a": 1}}', "got labels={'a': 1}, wanted"),
        ('{"image": "a.jpg", "captions": [], "ambiguous": null}', "got ambiguous=None, wanted"),
        (
            '{"image": "a.jpg", "captions": [], "patient": ""}',
            "patient='', wanted a name or a whole",
        ),
        ('{"image": "a.jpg", "captions": [], "patient": true}', "patient=True, wanted a name or"),
        ('{"image": "a.jpg", "captions": [], "patient": 1.5}', r"patient=1\.5, wanted a name or"),
        ('{"image": "a.jpg", "captions": [], "score": NaN}', "got NaN is no JSON"),
        ('{"image": "a.jpg", "captions": [], "score": -Infinity}', "got -Infinity is no JSON"),
        (b'{"image": "a.jpg", "captions": ["\xff\xfe"]}', "got 'utf-8' codec can't decode"),
        ('{"image": "a.jpg", "captions": ["' + "x" * 10**7 + '"]}', "got a longer line, wanted at"),
        ("[" * 100_000, "wanted one JSON object"),
        ('{"image": ' + "9" * 5000 + "}", "wanted one JSON object"),
    ],
)
def test_a_broken_line_is_named(tmp_path, line, message):
    write(tmp_path, GOOD, "", line, GOOD)
    with pytest.raises(DataError, match=message) as error:
        CaptionsFolder(tmp_path)
    text = str(error.value)
    assert text.startswith(f"{tmp_path}/captions.jsonl:3: got ")
    assert text.endswith("; correct or remove this line")
    assert "\n" not in text
    assert len(text) < 400


def test_a_line_may_be_long(tmp_path):
    line = '{"image": "a.jpg", "captions": ["' + "x" * (MAX_LINE_BYTES - 40) + '"]}'
    write(tmp_path, line)
    assert len(CaptionsFolder(tmp_path)) == 1


@pytest.mark.parametrize(
    ("path", "options", "message"),
    [
        ("none", {}, "none', wanted a folder with captions.jsonl in it; set data.path"),
        (".", {}, "wanted a folder with captions.jsonl in it"),
        (".", {"split": "test"}, "got split='test'"),
        (".", {"validation_fraction": 1.0}, r"validation_fraction=1\.0, wanted"),
    ],
)
def test_what_cannot_start(tmp_path, path, options, message):
    with pytest.raises(DataError, match=message):
        CaptionsFolder(tmp_path / path, **options)
