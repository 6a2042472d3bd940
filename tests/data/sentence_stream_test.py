import threading

import numpy as np
import pytest

from tests.reference.mimic_tree import write_mimic_tree
from tests.reference.streams import assert_same_batches, take_batches
from tvdim_jax.data.bad_examples import BadExamples
from tvdim_jax.data.errors import DataError
from tvdim_jax.data.pipeline import make_train_stream
from tvdim_jax.data.reports import report_sentences
from tvdim_jax.data.sentence_stream import make_sentence_stream
from tvdim_jax.data.sentences import training_sentences
from tvdim_jax.data.sources import CaptionsFolder, with_caption_noise
from tvdim_jax.data.sources.mimic_cxr import MimicCxr
from tvdim_jax.data.text_ops import text_id
from tvdim_jax.data.tokenizer import train_tokenizer

SENTENCES = 4
OPTIONS = {
    "image_size": 16,
    "grey": True,
    "max_sentences": SENTENCES,
    "token_buckets": (8, 16, 24),
    "num_shards": 8,
    "global_batch_size": 8,
    "seed": 3,
}
TABLE = ("sentence_token_ids", "sentence_token_valid")


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """MIMIC-CXR rows of which the second has no report, the third and seventh no image."""
    folder = tmp_path_factory.mktemp("mimic")
    rows = write_mimic_tree(folder, num_subjects=14)
    source = MimicCxr(folder, "train")
    paths = {row.path[len("files/") : -4]: row.path for row in rows}
    for row in (2, 6):
        (folder / paths[source.example_id(row)]).write_bytes(b"<html>")
    (report,) = folder.rglob(f"s{source.study_id(1)}.txt")
    report.unlink()
    assert len(source) > 16
    return source


@pytest.fixture(scope="module")
def tokenizer(source):
    texts = training_sentences(source, SENTENCES)
    return train_tokenizer(texts, vocab_size=90, lower_case=True, add_sep=True, max_length=24)


def take(source, tokenizer, steps: int, ledger=None, **changes) -> list[dict[str, np.ndarray]]:
    options = {**OPTIONS, "num_threads": 2, "ledger": ledger or BadExamples(), **changes}
    return take_batches(make_sentence_stream(source, tokenizer, **options), steps)


def test_what_a_batch_holds(source, tokenizer):
    for batch in take(source, tokenizer, 6):
        num_rows, length = batch["sentence_token_ids"].shape
        assert num_rows in (8, 16, 32)
        assert length in (8, 16, 24)
        assert {key: (value.dtype, value.shape) for key, value in batch.items()} == {
            "image": (np.uint16, (8, 20, 20, 1)),
            "image_id": (np.int32, (8,)),
            "study_id": (np.int32, (8,)),
            "where": (bool, (8,)),
            "sentence_index": (np.int32, (8, SENTENCES)),
            "sentence_id": (np.int32, (8, SENTENCES)),
            "sentence_token_ids": (np.int32, (num_rows, length)),
            "sentence_token_valid": (bool, (num_rows, length)),
        }


def test_the_table_says_what_the_reports_say(source, tokenizer):
    seen = {"no text": 0, "bad": 0, "shared": 0}
    for batch in take(source, tokenizer, 8):
        ids, valid = (batch[key] for key in TABLE)
        order: list[int] = []  # of first occurrence, bad images included
        used = np.zeros(len(ids), int)
        for place, row in enumerate(batch["image_id"].tolist()):
            sentences = report_sentences(source.captions(row), SENTENCES)
            order += [n for n in map(text_id, sentences) if n not in order]
            good = row not in (2, 6)
            seen["no text"] += not sentences
            seen["bad"] += not good
            assert batch["where"][place] == good
            assert batch["image"][place].any() == good
            assert batch["study_id"][place] == source.study_id(row)
            wanted = [text_id(text) for text in sentences] if good else []
            wanted += [-1] * (SENTENCES - len(wanted))
            assert batch["sentence_id"][place].tolist() == wanted
            for text, entry in zip(sentences if good else [], batch["sentence_index"][place],
                                   strict=False):  # fmt: skip
                token_ids, token_valid = tokenizer.encode([text])
                assert np.array_equal(ids[entry], token_ids[0, : ids.shape[1]])
                assert np.array_equal(valid[entry], token_valid[0, : ids.shape[1]])
                assert order[entry] == text_id(text)
                used[entry] += 1
            assert ((batch["sentence_index"][place] == -1) == (np.array(wanted) == -1)).all()
        assert valid.any(1).tolist() == [True] * len(order) + [False] * (len(ids) - len(order))
        seen["shared"] += (used > 1).sum()
    assert all(seen.values()), seen


def test_images_are_those_of_the_plain_stream(source, tokenizer):
    ours = take(source, tokenizer, 5)
    stream = make_train_stream(
        source, None, image_size=16, global_batch_size=8, seed=3, ledger=BadExamples()
    )
    plain = [next(stream) for _ in range(5)]
    stream.close()
    for batch, other in zip(ours, plain, strict=True):
        good = batch["where"]
        assert np.array_equal(batch["image_id"][good], other["image_id"][good])


def test_colour(make_folder, make_jpeg, tokenizer):
    rows = [(f"{i}.jpg", make_jpeg(20 * i), ["A dog runs. It is fast.", "grass"], {})
            for i in range(8)]  # fmt: skip
    source = CaptionsFolder(make_folder(rows))
    (batch,) = take(source, tokenizer, 1, grey=False)
    assert batch["image"].shape == (8, 16, 16, 3)
    assert batch["image"].dtype == np.uint8
    assert np.abs(batch["image"][:, 5, 5, 0].astype(int) - 20 * batch["image_id"]).max() <= 2
    assert batch["sentence_index"].tolist() == [[0, 1, -1, -1]] * 8
    assert batch["study_id"].tolist() == batch["image_id"].tolist()
    assert batch["sentence_token_ids"].shape[0] == 8


def test_a_set_without_any_text(make_folder, make_jpeg, tokenizer):
    source = CaptionsFolder(make_folder([(f"{i}.jpg", make_jpeg(), [], {}) for i in range(8)]))
    (batch,) = take(source, tokenizer, 1)
    assert batch["where"].all()
    assert (batch["sentence_index"] == -1).all()
    assert batch["sentence_token_ids"].shape == (8, 8)
    assert not batch["sentence_token_valid"].any()


def test_nothing_but_bad_images_is_told_by_the_ledger(grey_folder, tokenizer):
    source = CaptionsFolder(grey_folder(8, bad=range(8)))
    ledger = BadExamples()
    (batch,) = take(source, tokenizer, 1, ledger)
    assert not batch["where"].any()
    assert (batch["sentence_index"] == -1).all()
    assert ledger.counts() == {"unsupported format": 8}


def test_caption_noise_moves_the_sentences_not_the_studies(source, tokenizer):
    noisy = with_caption_noise(source, 1.0, seed=0)
    for batch, plain in zip(take(noisy, tokenizer, 3), take(source, tokenizer, 3), strict=True):
        assert np.array_equal(batch["study_id"], plain["study_id"])
        for row, numbers in zip(batch["image_id"], batch["sentence_id"], strict=True):
            if row not in (2, 6):
                wanted = report_sentences(noisy.captions(row), SENTENCES)
                assert numbers[numbers >= 0].tolist() == [text_id(text) for text in wanted]


@pytest.mark.parametrize("num_threads", [0, 1, 16])
def test_any_number_of_threads_gives_the_same(source, tokenizer, num_threads):
    wanted = take(source, tokenizer, 5)
    assert_same_batches(take(source, tokenizer, 5, num_threads=num_threads), wanted)


@pytest.mark.parametrize("process_count", [1, 2, 4, 8])
def test_any_number_of_processes_gives_the_same(source, tokenizer, process_count):
    ledger, ledgers = BadExamples(), [BadExamples() for _ in range(process_count)]
    wanted = take(source, tokenizer, 5, ledger)
    shares = [
        take(source, tokenizer, 5, mine, process_index=index, process_count=process_count)
        for index, mine in enumerate(ledgers)
    ]
    for step, batch in enumerate(wanted):
        for key, value in batch.items():
            assert np.array_equal(np.concatenate([share[step][key] for share in shares]), value)
    assert sum(mine.num_bad for mine in ledgers) >= ledger.num_bad == 2


def test_restart_at_every_step(source, tokenizer):
    wanted = take(source, tokenizer, 5)
    for step in range(5):
        assert_same_batches(take(source, tokenizer, 5 - step, start_step=step), wanted[step:])


def test_the_shards_change_the_padding_only(source, tokenizer):
    for batch, other in zip(
        take(source, tokenizer, 4), take(source, tokenizer, 4, num_shards=5), strict=True
    ):
        assert other["sentence_token_ids"].shape[0] % 5 == 0
        for key in batch.keys() - set(TABLE):
            assert np.array_equal(batch[key], other[key])
        count = batch["sentence_token_valid"].any(1).sum()
        for key in TABLE:
            assert np.array_equal(batch[key][:count], other[key][:count])
        assert not other["sentence_token_valid"][count:].any()


def test_another_seed_gives_another_stream(source, tokenizer):
    first, second = take(source, tokenizer, 1), take(source, tokenizer, 1, seed=4)
    assert not np.array_equal(first[0]["image_id"], second[0]["image_id"])


def test_closing_stops_the_threads(source, tokenizer):
    before = set(threading.enumerate())
    take(source, tokenizer, 2, num_threads=16)
    for thread in set(threading.enumerate()) - before:
        thread.join(10)
        assert not thread.is_alive()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"process_count": 3}, "got a batch of 8 for 3 processes, wanted a multiple of 3"),
        ({"seed": -1}, "seed -1"),
        ({"max_sentences": 0}, "got max_sentences=0, num_shards=8 for 1 processes"),
        ({"num_shards": 0}, "num_shards=0"),
        ({"process_count": 2, "num_shards": 3}, "num_shards=3 for 2 processes, wanted 1 or more"),
        ({"token_buckets": ()}, r"got token_buckets=\(\) for a tokenizer of 24 tokens"),
        ({"token_buckets": (16, 8, 24)}, r"got token_buckets=\(16, 8, 24\)"),
        ({"token_buckets": (8, 8, 24)}, r"got token_buckets=\(8, 8, 24\)"),
        ({"token_buckets": (8, 16)}, "wanted increasing lengths up to that one"),
    ],
)
def test_arguments_out_of_range(source, tokenizer, changes, message):
    with pytest.raises(DataError, match=message):
        take(source, tokenizer, 1, **changes)
