import numpy as np
import pytest
from PIL import Image

from tests.reference.mimic_tree import NAMES, write_mimic_tree, write_tables
from tvdim_jax.data.errors import BadExample, DataError
from tvdim_jax.data.reports import report_sentences
from tvdim_jax.data.sources.mimic_cxr import FRONTAL, MimicCxr


@pytest.fixture
def tree(tmp_path):
    return tmp_path, write_mimic_tree(tmp_path)


def test_frontal_rows_of_each_split(tree):
    folder, rows = tree
    assert {row.view for row in rows} == {"PA", "AP", "LATERAL"}
    for split in ("train", "validate", "test"):
        source = MimicCxr(folder, split)
        wanted = [row for row in rows if row.split == split and row.view in FRONTAL]
        assert len(source) == len(wanted) > 0
        for index, row in enumerate(wanted):
            assert source.example_id(index) == row.path[len("files/") : -len(".jpg")]
            assert (source.subject_id(index), source.study_id(index)) == (
                row.subject_id,
                row.study_id,
            )
            assert source.labels(index) == [n for n in NAMES if row.labels.get(n) == 1]
            assert source.ambiguous(index) == [n for n in NAMES if row.labels.get(n) == -1]
            assert source.unmentioned(index) == [n for n in NAMES if n not in row.labels]
            assert report_sentences(source.captions(index), 12) == list(row.sentences)
    subjects = [
        {source.subject_id(index) for index in range(len(source))}
        for source in (MimicCxr(folder, split) for split in ("train", "validate", "test"))
    ]
    assert not subjects[0] & subjects[1] | subjects[0] & subjects[2] | subjects[1] & subjects[2]


def test_the_tree_has_what_the_tests_need(tree):
    _, rows = tree
    frontal = [row for row in rows if row.view in FRONTAL and row.split == "train"]
    studies = {row.study_id: row for row in frontal}
    assert len(studies) < len(frontal)  # several images of one study
    sentences = [text for row in studies.values() for text in row.sentences]
    assert len(set(sentences)) < len(sentences)  # boilerplate
    assert {row.path[-4:] for row in frontal} == {".jpg", ".png"}


def test_the_labels_of_the_tree_have_every_value(tmp_path):
    labels = [row.labels for row in write_mimic_tree(tmp_path, num_subjects=60)]
    for name in ("Cardiomegaly", "Pleural Effusion", "Edema", "Lung Opacity"):
        assert {each.get(name) for each in labels} == {1, 0, -1, None}
    assert {each.get("Pneumothorax") for each in labels} == {1, 0, -1}


def test_images_keep_their_bits(tree):
    folder, rows = tree
    source = MimicCxr(folder, "train", views=("PA", "AP", "LATERAL"))
    train = [row for row in rows if row.split == "train"]
    assert len(source) == len(train)
    for index, row in enumerate(train[:4]):
        pixels = np.asarray(Image.open(folder / row.path)).astype(np.uint16)
        scale = 1 if row.path.endswith("png") else 257
        assert np.array_equal(source.read_grey(index)[..., 0], pixels * scale)
        image = source.read_image(index)
        assert image.dtype == np.uint8
        assert np.abs(image[..., 1] - pixels * (scale / 257)).max() <= 0.5
    assert min(source.read_grey(0, 8).shape[:2]) == 12  # a JPEG of 48 pixels, reduced


def test_other_views_labeller_and_digest(tree):
    folder, rows = tree
    lateral = MimicCxr(folder, "train", views=("LATERAL",), labeller="negbio")
    assert len(lateral) == sum(row.split == "train" and row.view == "LATERAL" for row in rows)
    source = MimicCxr(folder, "train")
    digests = {source.digest(), lateral.digest(), MimicCxr(folder, "test").digest()}
    changed = [
        row._replace(labels={**row.labels, "Fracture": 1}) if row.study_id == source.study_id(0)
        else row for row in rows
    ]  # fmt: skip
    write_tables(folder, changed)
    digests.add(MimicCxr(folder, "train").digest())
    assert len(digests) == 4
    assert MimicCxr(str(folder), "train").digest() in digests


def test_reports_beside_the_study_folders(tmp_path):
    rows = write_mimic_tree(tmp_path, zipped=True, beside=True)
    assert not (tmp_path / "mimic-cxr-reports").exists()
    source = MimicCxr(tmp_path, "train")
    assert report_sentences(source.captions(0), 12) == list(rows[0].sentences)


@pytest.mark.parametrize(
    ("content", "captions"),
    [(None, []), (b"", []), (b"FINDINGS:", []), (b"FINDINGS: \xff.", ["\ufffd."])],
)
def test_missing_and_broken_reports(tree, content, captions):
    folder, _ = tree
    source = MimicCxr(folder, "train")
    (file,) = folder.rglob(f"s{source.study_id(0)}.txt")
    file.unlink() if content is None else file.write_bytes(content)
    assert source.captions(0) == captions


def test_not_one_report_is_an_error(tree):
    folder, _ = tree
    for file in folder.rglob("*.txt"):
        file.unlink()
    message = (
        r"got no report of the first \d+ studies .*reports/files/p10/p10\d+/s50\d+\.txt and so"
    )
    with pytest.raises(DataError, match=message):
        MimicCxr(folder, "train")


def test_a_study_without_labels_mentions_nothing(tree):
    folder, _ = tree
    file = folder / "mimic-cxr-2.0.0-chexpert.csv"
    lines = file.read_text().splitlines(keepends=True)
    file.write_text("".join(lines[:1] + lines[2:]))
    source = MimicCxr(folder, "train")
    assert source.labels(0) == source.ambiguous(0) == []
    assert source.unmentioned(0) == list(NAMES)


@pytest.mark.parametrize(
    ("content", "reason"),
    [(None, "missing file"), (b"", "empty file"), (b"<html>", "unsupported format")],
)
def test_bad_images(tree, content, reason):
    folder, rows = tree
    file = folder / rows[0].path
    file.unlink() if content is None else file.write_bytes(content)
    source = MimicCxr(folder, "train")
    for read in (source.read_image, source.read_grey):
        with pytest.raises(BadExample, match=reason):
            read(0)
    assert source.read_grey(1).size


def test_a_name_cannot_lead_out(tree):
    folder, rows = tree
    write_tables(folder, [rows[0]._replace(dicom_id="../../../../../x"), *rows[1:]])
    with pytest.raises(BadExample, match="path outside the data folder"):
        MimicCxr(folder, "train").read_image(0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"split": "validation"}, "got split='validation', labeller='chexpert', wanted one of"),
        ({"split": "train", "labeller": "x"}, "labeller='x', wanted one of"),
        ({"split": "train", "views": ("LL",)}, r"got no image of split 'train' .* \('LL',\)"),
    ],
)
def test_what_cannot_start(tree, arguments, message):
    with pytest.raises(DataError, match=message):
        MimicCxr(tree[0], **arguments)
