"""The official sets of downstream tasks as the config names them, and answers to choose from."""

import pytest

from tests.reference.downstream_sets import write_karpathy, write_nlvr, write_vqa
from tests.reference.tiny_run import SRCL, tiny_config
from tvdim_jax.config import ConfigError
from tvdim_jax.data.sources.scenes import Scenes
from tvdim_jax.experiment.answers import answer_list, check_answers
from tvdim_jax.experiment.data import make_splits
from tvdim_jax.experiment.vocabulary import make_tokenizer


def test_official_splits_for_training_and_scoring(tmp_path):
    write_karpathy(tmp_path / "coco", num_images=16)
    rows = []
    for part in ("", "train"):
        words = {"data__source": "karpathy", "data__path": tmp_path / "coco"}
        train, test = make_splits(tiny_config(**words, data__train_split=part, eval__split="test"))
        rows.append((len(train), len(test)))
    assert rows == [(8, 4), (4, 4)]
    write_nlvr(tmp_path / "nlvr", split="train")
    write_nlvr(tmp_path / "nlvr", split="test1", num_pairs=4)
    words = {"objective__name": "nlvr", "data__source": "nlvr", "data__path": tmp_path / "nlvr"}
    train, test = make_splits(tiny_config(**SRCL | words, eval__split="test1"))
    assert (len(train), len(train.truth), len(test)) == (16, 16, 8)
    with pytest.raises(ConfigError) as error:
        make_splits(tiny_config(**SRCL | words, data__train_split="dev"))
    assert str(error.value) == (
        "config.data.train_split is 'dev', wanted one of train, seen, the parts of 'nlvr' that can "
        "be trained on"
    )


def vqa_config(folder, **changes):
    words = {"objective__name": "vqa", "data__source": "vqa", "data__path": folder}
    return tiny_config(**SRCL | words | changes)


def test_answers_to_choose_from(tmp_path):
    write_vqa(tmp_path, num_images=40)
    write_vqa(tmp_path, part="val2014", num_images=4)
    train, _ = make_splits(vqa_config(tmp_path))
    found = answer_list(vqa_config(tmp_path), train)
    assert (found[0], set(found)) == ("no", {"no", "yes", "red", "green", "blue", "white"})
    (tmp_path / "list.json").write_text('["maybe"]')
    config = vqa_config(tmp_path, eval__answers_path=tmp_path / "list.json")
    assert answer_list(config, train) == ["maybe"]
    with pytest.raises(ValueError, match=r"answers: got none .* of scenes; name a list with"):
        check_answers(vqa_config(tmp_path), Scenes(4, 0, 32))
    check_answers(tiny_config(), Scenes(4, 0, 32))


def test_answers_are_words_of_the_vocabulary_too(tmp_path):
    write_vqa(tmp_path, num_images=8)
    write_vqa(tmp_path, part="val2014", num_images=4)
    config = vqa_config(tmp_path, tokenizer__max_length=16)
    train, _ = make_splits(config)
    assert 1 not in make_tokenizer(config, train, tmp_path).encode(["green wall", "yes"])[0]
