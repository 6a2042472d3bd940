import json

import numpy as np
import pytest

from tests.reference.downstream_sets import COLOURS, NAMES, write_vqa
from tvdim_jax.data.errors import BadExample, DataError
from tvdim_jax.data.sources.vqa import read_answer_list, read_vqa


def test_questions_images_and_ten_answers(tmp_path):
    rows = write_vqa(tmp_path)
    vqa = read_vqa(tmp_path, "train")
    assert vqa.name == "vqa"
    assert len(vqa) == len(vqa.answers) == len(rows) == 16
    assert list(vqa.question_ids) == [row["question_id"] for row in rows]
    assert vqa.captions(0) == ["What color is it?"]
    assert vqa.captions(1) == ["Is it red?"]
    for index, row in enumerate(rows):
        assert list(vqa.answers[index]) == [each["answer"] for each in row["answers"]]
        mean = vqa.read_image(index).mean(axis=(0, 1))
        np.testing.assert_allclose(mean, COLOURS[NAMES[index // 2 % 4]], atol=8)


def test_splits_join_and_tests_have_no_answers(tmp_path):
    write_vqa(tmp_path / "annotations", part="train2014")
    write_vqa(tmp_path, part="train2014", num_images=2)
    write_vqa(tmp_path, part="test-dev2015", num_images=3)
    assert len(read_vqa(tmp_path, "train").answers) == 4  # the folder itself comes first
    assert len(read_vqa(tmp_path / "annotations", "train").answers) == 16
    vqa = read_vqa(tmp_path, "test-dev")
    assert list(vqa.answers) == [()] * 6
    assert vqa.read_image(5).size
    with pytest.raises(
        DataError, match=r"v2_OpenEnded_mscoco_val2014_questions.json or annotations/"
    ):
        read_vqa(tmp_path, "train+val")
    (tmp_path / "v2_mscoco_train2014_annotations.json").unlink()
    assert len(read_vqa(tmp_path, "train").answers) == 4  # those in annotations


def change(file, key, function):
    content = json.loads(file.read_text())
    function(content[key])
    file.write_text(json.dumps(content))


def test_bad_records_are_bad_examples(tmp_path):
    write_vqa(tmp_path)

    def spoil_questions(rows):
        rows[0] = "question"
        rows[1]["question"] = None
        rows[2]["image_id"] = "../x"
        rows[3]["question_id"] = rows[4]["question_id"]
        rows[5]["question_id"] = 77  # without annotation

    def spoil_answers(rows):
        rows[6]["answers"] = [{"answer": 5}]
        rows[7]["answers"] = []
        rows[8] = None

    change(tmp_path / "v2_OpenEnded_mscoco_train2014_questions.json", "questions", spoil_questions)
    change(tmp_path / "v2_mscoco_train2014_annotations.json", "annotations", spoil_answers)
    vqa = read_vqa(tmp_path, "train")
    good = [bool(answers) for answers in vqa.answers]
    # Row 3 came first under the number of row 4 and has its answers.
    assert good == [False] * 3 + [True] + [False] * 5 + [True] * 7
    for index in [0, 1, 2, 4, 5, 6, 7, 8]:
        assert vqa.question_ids[index] == -1
        with pytest.raises(BadExample, match="broken record"):
            vqa.read_image(index)
    assert vqa.example_id(0) == "v2_OpenEnded_mscoco_train2014_questions.json[0]"
    assert len({vqa.example_id(i) for i in range(16)}) == 16


def test_what_cannot_start(tmp_path):
    with pytest.raises(DataError, match=r"got split='dev', wanted some of \('train', 'val'"):
        read_vqa(tmp_path, "dev")
    with pytest.raises(DataError, match=r"VQA: got .* wanted a folder with v2_OpenEnded_mscoco_tr"):
        read_vqa(tmp_path, "train")
    write_vqa(tmp_path)
    (tmp_path / "v2_mscoco_train2014_annotations.json").write_text("[]")
    with pytest.raises(DataError, match="got list without a list 'annotations'"):
        read_vqa(tmp_path, "train")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "answer list: got Expecting value"),
        ('{"yes": 1}', "with something else, wanted a JSON list of different, not blank strings"),
        ('["yes", "yes"]', "wanted a JSON list of different"),
        ('["yes", " "]', "not blank"),
        ('["yes", 3]', "not blank strings"),
        ("[]", "wanted a JSON list"),
    ],
)
def test_answer_lists(tmp_path, content, message):
    file = tmp_path / "answers.json"
    file.write_text('["yes", "no"]')
    assert read_answer_list(file) == ["yes", "no"]
    file.write_text(content)
    with pytest.raises(DataError, match=message):
        read_answer_list(file)
    with pytest.raises(DataError, match=r"answer list: got .*No such file"):
        read_answer_list(tmp_path / "none.json")
