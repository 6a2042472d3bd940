import json

import numpy as np
import pytest
from tokenizers import BertWordPieceTokenizer

from tvdim_jax.data.errors import DataError
from tvdim_jax.data.text_ops import clean_caption
from tvdim_jax.data.tokenizer import Tokenizer, tokenizer_from_vocab, train_tokenizer

TEXTS = [
    f"{size} {colour} {shape}s are {where} the Café's walls"
    for size in ("large", "small", "tiny")
    for colour in ("red", "blue", "yellow", "striped")
    for shape in ("circle", "square", "triangle")
    for where in ("above", "below", "near")
]
VOCAB = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "dog", "##s", "run", "##ning", "Dog",
         "[", "]", "mask", "MASK", "pad", "!", "cafe", "caf", "##\u00e9"]  # fmt: skip
OPTIONS = {"lower_case": True, "add_sep": False, "max_length": 8}


@pytest.fixture
def vocab_file(tmp_path):
    path = tmp_path / "vocab.txt"
    path.write_text("\n".join(VOCAB) + "\n", encoding="utf-8")
    return path


def train(texts, **changes) -> Tokenizer:
    return train_tokenizer(texts, **{"vocab_size": 120, **OPTIONS, **changes})


def test_ids_masks_and_padding(vocab_file):
    tokenizer = tokenizer_from_vocab(vocab_file, **OPTIONS)
    token_ids, token_valid = tokenizer.encode(["Dogs running", "", "a zebra"])
    assert token_ids.tolist() == [
        [2, 6, 7, 8, 9, 0, 0, 0],
        [2, 0, 0, 0, 0, 0, 0, 0],
        [2, 5, 1, 0, 0, 0, 0, 0],
    ]
    assert token_ids.dtype == np.int32
    assert token_valid.dtype == bool
    assert token_valid.sum(1).tolist() == [5, 1, 3]
    assert tokenizer.vocab_size == len(VOCAB)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("  a   Dogs running!", ["a", "Dogs", "running"]),
        ("un caf\u00e9 -- d'or", ["un", "caf\u00e9", "d'or"]),
        ("a 'dog' dog\u2019s", ["a", "dog", "dog\u2019s"]),
        ("\u7ea2\u5706 a", ["\u7ea2", "\u5706", "a"]),
        (
            "\u0643\u0644\u0628 \u0623\u062d\u0645\u0631",
            ["\u0643\u0644\u0628", "\u0623\u062d\u0645\u0631"],
        ),
        ("! ?", []),
        ("a a a a a a running dogs", ["a", "a", "a", "a", "a", "a", "running"]),  # 7 pieces fit
    ],
)
def test_words_stand_where_the_text_has_them(vocab_file, text, words):
    spans = tokenizer_from_vocab(vocab_file, **OPTIONS).word_spans(text)
    assert [clean_caption(text)[start:end] for start, end in spans] == words


def test_sep_case_and_length(vocab_file):
    options = {**OPTIONS, "lower_case": False, "add_sep": True, "max_length": 4}
    tokenizer = tokenizer_from_vocab(vocab_file, **options)
    token_ids, token_valid = tokenizer.encode(["a Dog dog a a", "caf\u00e9"])
    assert token_ids.tolist() == [[2, 5, 10, 3], [2, 18, 19, 3]]
    assert token_valid.all()


def test_plain_words_of_texts_and_answers_as_written(vocab_file):
    tokenizer = tokenizer_from_vocab(vocab_file, **OPTIONS, num_plain_words=2)
    texts = ["a! DOG-running", "caf\u00e9...", "?"]
    assert [tokenizer.prepared(text) for text in texts] == ["a dog", "caf\u00e9", ""]
    found = tokenizer.encode(texts)[0]
    assert found[:, :4].tolist() == [[2, 5, 6, 0], [2, 17, 0, 0], [2, 0, 0, 0]]
    assert tokenizer.word_spans(texts[0]) == [(0, 1), (2, 5)]  # of "a dog"
    written = tokenizer.resized(add_sep=False, max_length=8)
    assert written.prepared(texts[0]) == texts[0]
    assert written.encode(texts)[0][0].tolist() == [2, 5, 16, 6, 1, 8, 9, 0]


def test_rows_are_packed_as_in_the_lmi_release():
    """Group F of the release's vectors: reports of 3, 10 and 0 word pieces, 8 places."""
    words = [f"word{number}" for number in range(11, 21)]
    vocab = ["[PAD]", "[CLS]", "[SEP]", "[UNK]", *"abcdefg", *words]
    tokenizer = Tokenizer(vocab, lower_case=True, add_sep=True, max_length=8)
    token_ids, token_valid = tokenizer.encode([" ".join(words[:3]), " ".join(words), ""])
    assert token_ids.tolist() == [
        [1, 11, 12, 13, 2, 0, 0, 0],
        [1, 11, 12, 13, 14, 15, 16, 2],
        [1, 2, 0, 0, 0, 0, 0, 0],
    ]
    assert token_valid.astype(int).tolist() == [
        [1, 1, 1, 1, 1, 0, 0, 0],
        [1, 1, 1, 1, 1, 1, 1, 1],
        [1, 1, 0, 0, 0, 0, 0, 0],
    ]


def test_special_tokens_in_text_are_text(vocab_file):
    tokenizer = tokenizer_from_vocab(vocab_file, **{**OPTIONS, "max_length": 32})
    token_ids, _ = tokenizer.encode(["[MASK] [PAD] [CLS] [SEP]", "[mask]!<|endoftext|>"])
    special = {VOCAB.index(token) for token in ("[CLS]", "[SEP]", "[MASK]")}
    assert not special & set(token_ids[:, 1:].ravel().tolist())
    assert token_ids[0, :4].tolist() == [2, 11, 13, 12]


@pytest.mark.parametrize("lower_case", [True, False])
def test_ids_equal_those_of_bert_word_pieces(vocab_file, lower_case):
    ours = tokenizer_from_vocab(vocab_file, lower_case=lower_case, add_sep=True, max_length=32)
    theirs = BertWordPieceTokenizer(str(vocab_file), lowercase=lower_case)
    texts = ["A Dogs' running-dog, caf\u00e9 Caf\u00c9!", "\u72d7 dog  \u200b\tDog", "x" * 300]
    for text, row, valid in zip(texts, *ours.encode(texts), strict=True):
        assert row[valid].tolist() == theirs.encode(text).ids


def test_training_learns_frequent_words_and_any_text_goes_through():
    assert train(TEXTS, vocab_size=80).vocab_size == 80
    tokenizer = train(TEXTS)
    assert 80 < tokenizer.vocab_size <= 120
    first = tokenizer.decode(tokenizer.encode(["large striped circles"])[0][0])
    assert first == ["[CLS]", "large", "striped", "circles"]
    odd = ["\ud800\0", "\U0001f436\u200d" * 400, "x" * 10**6, "\u0643\u0644\u0628", ""]
    token_ids, token_valid = tokenizer.encode(odd)
    assert token_ids.shape == (5, 8)
    assert token_valid[:, 0].all()


def test_save_and_load(tmp_path):
    path = tmp_path / "tokenizer.json"
    tokenizer = train(TEXTS, add_sep=True, num_plain_words=3)
    tokenizer.save(path)
    tokenizer.save(path)
    again = Tokenizer.load(path)
    for ours, theirs in zip(tokenizer.encode(TEXTS), again.encode(TEXTS), strict=True):
        assert np.array_equal(ours, theirs)
    assert (again.lower_case, again.add_sep, again.max_length) == (True, True, 8)
    assert again.num_plain_words == 3
    content = json.loads(path.read_text())
    del content["num_plain_words"]  # a file of a version without it
    path.write_text(json.dumps(content))
    assert Tokenizer.load(path).num_plain_words == 0
    assert [entry.name for entry in tmp_path.iterdir()] == ["tokenizer.json"]


@pytest.mark.parametrize(
    "content",
    ["", "[]", "{}", '{"format": 1}', "[" * 100_000, '{"a": NaN}',
     '{"format": "other", "lower_case": true, "add_sep": true, "max_length": 8, "vocab": []}',
     '{"format": "tvdim_jax wordpiece 1", "lower_case": true, "add_sep": true, "vocab": []}'],
)  # fmt: skip
def test_other_files_are_refused(tmp_path, content):
    path = tmp_path / "tokenizer.json"
    path.write_text(content)
    with pytest.raises(DataError, match=r"tokenizer\.json', wanted a file written by"):
        Tokenizer.load(path)


def test_missing_files(tmp_path):
    with pytest.raises(DataError, match=r"FileNotFoundError.*wanted a file written by"):
        Tokenizer.load(tmp_path / "none.json")
    with pytest.raises(DataError, match=r"No such file.*wanted a text file with one token a line"):
        tokenizer_from_vocab(tmp_path / "none.txt", **OPTIONS)
    (tmp_path / "latin.txt").write_bytes(b"\xff\n")
    with pytest.raises(DataError, match=r"can't decode.*one token a line"):
        tokenizer_from_vocab(tmp_path / "latin.txt", **OPTIONS)


@pytest.mark.parametrize(
    ("vocab", "changes", "message"),
    [
        ([], {}, r"got 0 tokens.*wanted \[PAD\] first"),
        (["[UNK]", "[PAD]", "[CLS]"], {}, r"the first \['\[UNK\]'\]"),
        (["[PAD]", "[UNK]", "a"], {}, r"without \['\[CLS\]'\]"),
        (["[PAD]", "[UNK]", "[CLS]"], {"add_sep": True}, r"without \['\[SEP\]'\]"),
        (["[PAD]", "[UNK]", "[CLS]", "a", "a"], {}, "the token 'a' twice"),
        (["[PAD]", "[UNK]", "[CLS]"], {"max_length": 1}, "max_length=1, wanted at least 2"),
    ],
)
def test_vocabularies_that_cannot_serve(vocab, changes, message):
    with pytest.raises(DataError, match=message):
        Tokenizer(vocab, **{**OPTIONS, **changes})


def test_a_resized_one_has_the_same_words(vocab_file):
    tokenizer = tokenizer_from_vocab(vocab_file, **OPTIONS)
    short = tokenizer.resized(add_sep=True, max_length=4)
    assert short.encode(["Dogs running"])[0].tolist() == [[2, 6, 7, 3]]
    assert tokenizer.encode(["a"])[0].tolist() == [[2, 5, 0, 0, 0, 0, 0, 0]]
    assert (short.lower_case, short.vocab_size) == (True, len(VOCAB))
    with pytest.raises(DataError, match="got max_length=2, wanted at least 3"):
        tokenizer.resized(add_sep=True, max_length=2)


def test_the_mask_has_an_id_and_no_text_gets_it(vocab_file):
    given = tokenizer_from_vocab(vocab_file, **OPTIONS)
    trained = train(TEXTS, add_mask=True)
    assert given.mask_id == trained.mask_id == 4
    assert trained.vocab_size <= 120
    for tokenizer in (given, trained):
        assert 4 not in tokenizer.encode(["a [MASK] dog [mask]"])[0]
        assert tokenizer.added_ids == (2,)
    assert train(TEXTS, add_sep=True).added_ids == (2, 3)
    with pytest.raises(DataError, match=r"tokens without \[MASK\], wanted it for masked language"):
        train(TEXTS).mask_id  # noqa: B018
