"""The training stream of sentence mode: images with the sentences of their reports.

Each different sentence of a global batch stands once in a table, which the processes share: every
process reads the texts of all rows (they are short) and the images of its own rows only. So the
table may depend on nothing that only decoding an image can tell. That is why a bad image is masked
here, and not replaced as in data.pipeline: its row keeps its place with `where` False, a black
image and no sentences, while the table keeps them. A batch is a function of (seed, step), whatever
the number of threads and processes.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import grain
import numpy as np

from tvdim_jax.data.bad_examples import BadExamples
from tvdim_jax.data.errors import BadExample, DataError
from tvdim_jax.data.pipeline import BAD, TrainStream, check_stream
from tvdim_jax.data.reports import report_sentences
from tvdim_jax.data.sentences import encode_sentences, sentence_table, table_rows
from tvdim_jax.data.sources.base import Source
from tvdim_jax.data.squares import black_squares, read_square
from tvdim_jax.data.tokenizer import Tokenizer


class _ReadBatch(NamedTuple):
    """Turns the rows of a global batch into the share of one process."""

    source: Source
    tokenizer: Tokenizer
    image_size: int
    grey: bool
    max_sentences: int
    token_buckets: tuple[int, ...]
    num_shards: int
    process_index: int
    process_count: int

    def __call__(self, rows: np.ndarray) -> dict[str, Any]:
        reports = [report_sentences(self.source.captions(int(r)), self.max_sentences) for r in rows]
        table = sentence_table(reports, self.max_sentences)
        num_rows = table_rows(len(table.texts), table.sentence_index.size, self.num_shards)
        tokens = encode_sentences(table.texts, self.tokenizer, self.token_buckets, num_rows)
        mine = rows[self._share(len(rows))]
        image, where, bad = self._read_images(mine)
        sentence_index, sentence_id = (
            np.where(where[:, None], array[self._share(len(rows))], np.int32(-1))
            for array in (table.sentence_index, table.sentence_id)
        )
        return {
            "image": image,
            "image_id": mine.astype(np.int32),
            "study_id": np.array([self.source.study_id(int(row)) for row in mine], np.int32),
            "where": where,
            "sentence_index": sentence_index,
            "sentence_id": sentence_id,
            "sentence_token_ids": tokens[0][self._share(num_rows)],
            "sentence_token_valid": tokens[1][self._share(num_rows)],
            BAD: bad,
        }

    def _share(self, count: int) -> slice:
        """The part of `count` rows that this process holds."""
        part = count // self.process_count
        return slice(self.process_index * part, (self.process_index + 1) * part)

    def _read_images(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray, list[Any]]:
        image = black_squares(len(rows), self.image_size, self.grey)
        where = np.ones(len(rows), bool)
        bad = []
        for place, row in enumerate(rows.tolist()):
            try:
                image[place] = read_square(self.source, row, self.image_size, self.grey)
            except BadExample as error:
                where[place] = False
                bad.append((self.source.example_id(row), error.reason))
        return image, where, bad


def make_sentence_stream(
    source: Source,
    tokenizer: Tokenizer,
    *,
    image_size: int,
    grey: bool,
    max_sentences: int,
    token_buckets: Sequence[int],
    num_shards: int,
    global_batch_size: int,
    seed: int,
    ledger: BadExamples,
    process_index: int = 0,
    process_count: int = 1,
    start_step: int = 0,
    num_threads: int = 8,
) -> TrainStream:
    """Batches of one process with their sentences, from update `start_step` on, without end.

    The images come in the order of pipeline.make_train_stream.

    Args:
      source: images and texts, n rows. A text is split by reports.report_sentences; a row without
        text stays, without sentences.
      tokenizer: of the sentences; its max_length is the last of `token_buckets`.
      image_size: pixels of a side.
      grey: see squares.read_square.
      max_sentences: S, sentences of a report that are read at most.
      token_buckets: allowed numbers of tokens T, increasing.
      num_shards: U is a multiple of it; itself a multiple of process_count.
      global_batch_size: examples of a batch over all processes; each gets an equal share, B.
      seed: 0 to 2**32 - 1: the order.
      ledger: gets the bad images of the batches handed out.
      process_index: this process, 0 to process_count - 1.
      process_count: processes that share a batch.
      start_step: updates done, so batches that came before.
      num_threads: threads that read ahead, one batch each; 0 reads when asked.

    Returns:
      Iterator of this process's share of
        "image": uint8 [B, size, size, 3], or uint16 [B, stored, stored, 1] in grey;
        "image_id": int32 [B], row of the source; "study_id": int32 [B];
        "where": bool [B], False for a bad image, which is black and has no sentences;
        "sentence_index": int32 [B, S], place in the table of the whole batch, -1 = none;
        "sentence_id": int32 [B, S], text_ops.text_id of the sentence, -1 = none;
        "sentence_token_ids": int32 [U, T] and "sentence_token_valid": bool [U, T], the table: each
        different sentence of the batch once, in order of first occurrence; T of token_buckets; over
        all processes U is a share of sentences.TABLE_SHARES of the batch's S sentences an example;
        rows without a valid token are padding.
      Close it.

    Raises:
      DataError: an argument out of range, or shares that do not come out even.
    """
    check_stream(global_batch_size, seed, process_index, process_count, start_step)
    buckets = tuple(token_buckets)
    _check(max_sentences, buckets, tokenizer.max_length, num_shards, process_count)
    read = _ReadBatch(
        source, tokenizer, image_size, grey, max_sentences, buckets, num_shards, process_index,
        process_count,
    )  # fmt: skip
    batches = (
        grain.MapDataset.range(len(source))
        .seed(seed)
        .shuffle()
        .repeat()
        .batch(global_batch_size, drop_remainder=True)
        .map(read)
        .to_iter_dataset(
            grain.ReadOptions(num_threads=num_threads, prefetch_buffer_size=num_threads)
        )
    )
    return TrainStream(batches, start_step=start_step, ledger=ledger)


def _check(
    max_sentences: int, buckets: tuple[int, ...], max_length: int, num_shards: int, processes: int
) -> None:
    if not buckets or sorted({*buckets}) != [*buckets] or buckets[-1] != max_length:
        raise DataError(
            f"sentence stream: got token_buckets={buckets} for a tokenizer of {max_length} tokens,"
            " wanted increasing lengths up to that one; correct them"
        )
    if max_sentences < 1 or num_shards < 1 or num_shards % processes:
        raise DataError(
            f"sentence stream: got max_sentences={max_sentences}, num_shards={num_shards} for"
            f" {processes} processes, wanted 1 or more and a multiple of {processes}; correct them"
        )
