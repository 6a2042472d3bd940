"""Sentences of a batch: each different one once, and which image says which."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from tvdim_jax.data.reports import report_sentences
from tvdim_jax.data.sources.base import Source
from tvdim_jax.data.text_ops import text_id
from tvdim_jax.data.tokenizer import Tokenizer

TABLE_SHARES = (0.25, 0.5, 1.0)  # allowed sizes of the table, per sentence that a batch may hold


class SentenceTable(NamedTuple):
    """The different sentences of some reports.

    Attributes:
      texts: u sentences, different by text_ops.text_id, in order of first occurrence.
      sentence_index: int32 [B, S], place of each sentence of a report in `texts`; -1 = none.
      sentence_id: int32 [B, S], its text_ops.text_id; -1 = none.
    """

    texts: list[str]
    sentence_index: np.ndarray
    sentence_id: np.ndarray


def sentence_table(reports: Sequence[Sequence[str]], max_sentences: int) -> SentenceTable:
    """Finds the different sentences of B reports.

    Args:
      reports: the sentences of each, as report_sentences gives them; may be none.
      max_sentences: S, the most that a report has.
    """
    sentence_index = np.full((len(reports), max_sentences), -1, np.int32)
    sentence_id = np.full((len(reports), max_sentences), -1, np.int32)
    texts: list[str] = []
    places: dict[int, int] = {}
    for row, sentences in enumerate(reports):
        for column, text in enumerate(sentences):
            number = text_id(text)
            if number not in places:
                places[number] = len(texts)
                texts.append(text)
            sentence_index[row, column] = places[number]
            sentence_id[row, column] = number
    return SentenceTable(texts, sentence_index, sentence_id)


def encode_sentences(
    texts: Sequence[str], tokenizer: Tokenizer, token_buckets: Sequence[int], num_rows: int
) -> tuple[np.ndarray, np.ndarray]:
    """Tokens of a table of sentences, padded to one of a few shapes.

    Args:
      texts: u sentences.
      tokenizer: its max_length is the last bucket.
      token_buckets: allowed lengths, increasing.
      num_rows: U, at least u.

    Returns:
      token_ids, int32 [U, T], and token_valid, bool [U, T], as Tokenizer.encode; T is the first
      bucket that holds every sentence. Rows behind the texts have no valid token.
    """
    token_ids, token_valid = tokenizer.encode(texts)
    longest = int(token_valid.sum(1).max(initial=0))
    length = next(bucket for bucket in token_buckets if bucket >= longest)
    padding = [(0, num_rows - len(texts)), (0, 0)]
    return np.pad(token_ids[:, :length], padding), np.pad(token_valid[:, :length], padding)


def table_rows(num_texts: int, max_texts: int, num_shards: int) -> int:
    """U: the smallest allowed size of a table, so that few programs are compiled.

    Args:
      num_texts: different sentences, at most max_texts.
      max_texts: sentences that a batch may hold, B * S.
      num_shards: parts of equal size that the table is dealt out to.

    Returns:
      The first of TABLE_SHARES of max_texts that is enough, rounded up to a multiple of num_shards.
    """
    sizes = (-(-round(share * max_texts) // num_shards) * num_shards for share in TABLE_SHARES)
    return next(size for size in sizes if size >= num_texts)


def training_sentences(source: Source, max_sentences: int) -> Iterator[str]:
    """The sentences of a source, what a tokenizer for sentence mode learns from.

    Args:
      source: with texts.
      max_sentences: see report_sentences.

    Yields:
      The sentences of each study in the order of the rows; of several rows only the first's.
    """
    seen: set[int] = set()
    for row in range(len(source)):
        study = source.study_id(row)
        if study not in seen:
            seen.add(study)
            yield from report_sentences(source.captions(row), max_sentences)
