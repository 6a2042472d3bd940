import numpy as np
import pytest

from tests.reference.mimic_tree import write_mimic_tree
from tvdim_jax.data.sentences import (
    TABLE_SHARES,
    encode_sentences,
    sentence_table,
    table_rows,
    training_sentences,
)
from tvdim_jax.data.sources import CaptionsFolder
from tvdim_jax.data.sources.mimic_cxr import FRONTAL, MimicCxr
from tvdim_jax.data.text_ops import text_id
from tvdim_jax.data.tokenizer import train_tokenizer

REPORTS = [["a b c", "d e f"], [], ["g h i", "A  b C", "j k l"], ["d e f"]]


def test_table():
    table = sentence_table(REPORTS, 3)
    assert table.texts == ["a b c", "d e f", "g h i", "j k l"]
    assert table.sentence_index.tolist() == [[0, 1, -1], [-1, -1, -1], [2, 0, 3], [1, -1, -1]]
    assert table.sentence_index.dtype == table.sentence_id.dtype == np.int32
    for place, number in zip(table.sentence_index.flat, table.sentence_id.flat, strict=True):
        assert number == (text_id(table.texts[place]) if place >= 0 else -1)


def test_table_of_nothing():
    table = sentence_table([[], []], 2)
    assert table.texts == []
    assert (table.sentence_index == -1).all()
    assert table.sentence_id.shape == (2, 2)


@pytest.mark.parametrize(
    ("num_texts", "num_shards", "wanted"),
    [(0, 1, 24), (24, 1, 24), (25, 1, 48), (48, 8, 48), (49, 8, 96), (96, 8, 96), (1, 7, 28),
     (29, 7, 49), (50, 7, 98)],
)  # fmt: skip
def test_table_rows(num_texts, num_shards, wanted):
    assert table_rows(num_texts, 96, num_shards) == wanted


def test_any_number_of_texts_has_one_of_three_sizes_that_shards_share():
    for num_shards in (1, 2, 8):
        for max_texts in (1, 3, 8, 20):
            sizes = {table_rows(count, max_texts, num_shards) for count in range(max_texts + 1)}
            assert len(sizes) <= len(TABLE_SHARES)
            assert all(size % num_shards == 0 for size in sizes)
            assert max(sizes) >= max_texts
            assert all(table_rows(n, max_texts, num_shards) >= n for n in range(max_texts + 1))


def test_tokens_in_the_first_bucket_that_holds_them():
    texts = ["one two", "one", "one two three four five six seven"]
    options = {"vocab_size": 60, "lower_case": True, "add_sep": True, "max_length": 8}
    tokenizer = train_tokenizer(texts * 3, **options)
    wanted_ids, wanted_valid = tokenizer.encode(texts)
    for chosen, length in ((texts[:2], 4), (texts, 8)):
        token_ids, token_valid = encode_sentences(chosen, tokenizer, (4, 6, 8), 5)
        assert (token_ids.shape, token_ids.dtype) == ((5, length), np.int32)
        assert (token_valid.shape, token_valid.dtype) == ((5, length), bool)
        count = len(chosen)
        assert np.array_equal(token_ids[:count], wanted_ids[:count, :length])
        assert np.array_equal(token_valid[:count], wanted_valid[:count, :length])
        assert not token_valid[count:].any()
        assert not token_ids[count:].any()
        assert not wanted_valid[:count, length:].any()
    assert encode_sentences([], tokenizer, (4, 8), 2)[0].shape == (2, 4)


def test_training_sentences_of_each_study_once(tmp_path):
    rows = write_mimic_tree(tmp_path)
    frontal = [row for row in rows if row.split == "train" and row.view in FRONTAL]
    studies = {row.study_id: row for row in frontal}.values()
    wanted = [text for row in studies for text in row.sentences]
    assert list(training_sentences(MimicCxr(tmp_path, "train"), 12)) == wanted
    short = [text for row in studies for text in row.sentences[:1]]
    assert list(training_sentences(MimicCxr(tmp_path, "train"), 1)) == short


def test_training_sentences_of_captions(make_folder):
    rows = [("a.jpg", b"", ["A dog runs. It is fast.", "no"], {}), ("b.jpg", b"", [], {}),
            ("c.jpg", b"", ["A dog runs."], {})]  # fmt: skip
    source = CaptionsFolder(make_folder(rows))
    assert list(training_sentences(source, 9)) == ["A dog runs.", "It is fast.", "A dog runs."]
