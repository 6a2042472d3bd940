"""WordPiece tokenizer of captions, on the `tokenizers` package.

The special tokens are known to the vocabulary only, never to the text matcher: a caption that says
"[MASK]" is cut into "[", "mask" and "]" like any other text.
"""

import json
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tokenizers
from tokenizers import models, normalizers, pre_tokenizers

from tvdim_jax.data.errors import DataError
from tvdim_jax.data.text_ops import clean_caption, plain_words
from tvdim_jax.data.word_pieces import FIRST, LAST, MASK, PAD, SPECIAL, UNKNOWN, learn_vocabulary

_FORMAT = "tvdim_jax wordpiece 1"
_FORM = {
    "format": "str",
    "lower_case": "bool",
    "add_sep": "bool",
    "max_length": "int",
    "num_plain_words": "int",
    "vocab": "list of str",
}
_APOSTROPHES = {"'", "\u2019"}


class Tokenizer:
    """Texts to token ids with a fixed vocabulary; safe to share between threads.

    Args:
      vocab: tokens in the order of their ids: "[PAD]" first, with "[UNK]", "[CLS]" and, if it is
        added, "[SEP]" somewhere; pieces inside a word begin with "##".
      lower_case: lower the letters and strip accents first (an uncased vocabulary).
      add_sep: end each text with "[SEP]".
      max_length: T, tokens of a row with the added ones; longer texts are cut.
      num_plain_words: text_ops.plain_words of each text that are kept; 0 reads texts as written.

    Raises:
      DataError: a vocabulary without these tokens, with one twice, or a max_length without room
        for a word.
    """

    def __init__(
        self,
        vocab: Sequence[str],
        *,
        lower_case: bool,
        add_sep: bool,
        max_length: int,
        num_plain_words: int = 0,
    ) -> None:
        needed = SPECIAL if add_sep else SPECIAL[:3]
        missing = [token for token in needed if token not in vocab]
        if missing or vocab[0] != PAD:
            raise DataError(
                f"vocabulary: got {len(vocab)} tokens, the first {list(vocab[:1])}, without"
                f" {missing}, wanted {PAD} first and {needed}; take a BERT vocab.txt or train one"
            )
        ids = {token: number for number, token in enumerate(vocab)}
        if len(ids) != len(vocab):
            twice = Counter(vocab).most_common(1)[0][0]
            raise DataError(
                f"vocabulary: got the token {twice!r} twice, wanted each once; remove one line"
            )
        if max_length < 2 + add_sep:
            raise DataError(
                f"tokenizer: got max_length={max_length}, wanted at least {2 + add_sep}: the added"
                " tokens and one more; raise it"
            )
        self.lower_case, self.add_sep, self.max_length = lower_case, add_sep, max_length
        self.num_plain_words = num_plain_words
        self._vocab = list(vocab)
        self._first, self._last, self._mask = ids[FIRST], ids.get(LAST, 0), ids.get(MASK)
        self._backend = tokenizers.Tokenizer(models.WordPiece(ids, unk_token=UNKNOWN))
        self._backend.normalizer = normalizers.BertNormalizer(lowercase=lower_case)
        self._backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()

    def resized(self, **options: Any) -> "Tokenizer":
        """The same vocabulary for other texts, such as short answers that end with "[SEP]".

        Args:
          **options: of Tokenizer, but for vocab and lower_case.

        Raises:
          DataError: see Tokenizer.
        """
        return Tokenizer(self._vocab, lower_case=self.lower_case, **options)

    @property
    def vocab_size(self) -> int:
        """Number of tokens."""
        return len(self._vocab)

    @property
    def mask_id(self) -> int:
        """Id of "[MASK]", which stands for a hidden word and occurs in no encoded text.

        Raises:
          DataError: the vocabulary has none.
        """
        if self._mask is None:
            raise DataError(
                f"vocabulary: got {self.vocab_size} tokens without {MASK}, wanted it for masked "
                "language; take a BERT vocab.txt, or train the vocabulary for it"
            )
        return self._mask

    @property
    def added_ids(self) -> tuple[int, ...]:
        """Ids that `encode` adds to every text: "[CLS]" and, if it is added, "[SEP]"."""
        return (self._first, *([self._last] if self.add_sep else []))

    def prepared(self, text: str) -> str:
        """What `encode` reads of a text: text_ops.clean_caption, or the plain words of it."""
        cleaned = clean_caption(text)
        return plain_words(cleaned, self.num_plain_words) if self.num_plain_words else cleaned

    def encode(self, texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """Token ids of texts.

        Args:
          texts: n strings; an empty one gives "[CLS]" alone.

        Returns:
          token_ids, int32 [n, T], "[CLS]" first and 0 behind the end; token_valid, bool [n, T],
          True where a token stands.
        """
        token_ids = np.zeros((len(texts), self.max_length), np.int32)
        token_valid = np.zeros((len(texts), self.max_length), bool)
        room = self.max_length - 1 - self.add_sep
        for row, text in enumerate(texts):
            pieces = self._backend.encode(self.prepared(text), add_special_tokens=False).ids[:room]
            tokens = [self._first, *pieces, *([self._last] if self.add_sep else [])]
            token_ids[row, : len(tokens)] = tokens
            token_valid[row, : len(tokens)] = True
        return token_ids, token_valid

    def word_spans(self, text: str) -> list[tuple[int, int]]:
        """Where the words stand that `encode` keeps at least a piece of: (start, end).

        In the characters of `prepared(text)`. A word is what the pieces of the vocabulary are cut
        from, those that an apostrophe joins being one; signs without a letter or digit are left
        out.
        """
        read, room = self.prepared(text), self.max_length - 1 - self.add_sep
        found = self._backend.encode(read, add_special_tokens=False)
        kept = [word for word in dict.fromkeys(found.word_ids[:room]) if word is not None]
        spans = [span for word in kept if (span := found.word_to_chars(word)) is not None]
        return _joined([span for span in spans if any(map(str.isalnum, read[slice(*span)]))], read)

    def decode(self, token_ids: Sequence[int]) -> list[str]:
        """The tokens of one row of ids, padding left out."""
        return [self._vocab[int(number)] for number in token_ids if number != 0]

    def save(self, path: str | Path) -> None:
        """Writes everything to one JSON file; a reader never sees half of it."""
        content = {
            "format": _FORMAT,
            "lower_case": self.lower_case,
            "add_sep": self.add_sep,
            "max_length": self.max_length,
            "num_plain_words": self.num_plain_words,
            "vocab": self._vocab,
        }
        partial = Path(f"{path}.{os.getpid()}.partial")
        partial.write_text(json.dumps(content, ensure_ascii=True), encoding="utf-8")
        partial.replace(path)

    @classmethod
    def load(cls, path: str | Path) -> "Tokenizer":
        """Reads what `save` wrote.

        Raises:
          DataError: no such file, or another content.
        """
        try:
            content: Any = json.loads(Path(path).read_text(encoding="utf-8"))
            content = {"num_plain_words": 0} | content  # older files lack it
            form = {key: _kind(content[key]) for key in _FORM}
        except (OSError, ValueError, LookupError, TypeError, RecursionError) as error:
            raise _not_saved(path, f"{type(error).__name__} {error}") from error
        if form != _FORM or content["format"] != _FORMAT:
            raise _not_saved(path, f"format {content['format']!r:.40} with {form}")
        return cls(**{key: content[key] for key in _FORM if key != "format"})


def tokenizer_from_vocab(path: str | Path, **options: Any) -> Tokenizer:
    """Tokenizer of a given vocab.txt, one token a line, as BERT's.

    Args:
      path: the file.
      **options: of Tokenizer.

    Raises:
      DataError: no such file, not UTF-8, or not such a vocabulary.
    """
    try:
        lines = Path(path).read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(
            f"vocabulary: got {str(path)!r} ({error}), wanted a text file with one token a line;"
            " give the path of a vocab.txt"
        ) from error
    vocab = [line.rstrip("\r") for line in lines]
    while vocab and not vocab[-1]:
        vocab.pop()
    return Tokenizer(vocab, **options)


def train_tokenizer(
    texts: Iterable[str],
    *,
    vocab_size: int,
    lower_case: bool,
    add_mask: bool = False,
    **options: Any,
) -> Tokenizer:
    """Tokenizer of a vocabulary that it learns, see word_pieces.learn_vocabulary.

    Args:
      texts: see learn_vocabulary.
      vocab_size: the same.
      lower_case: the same, and see Tokenizer.
      add_mask: see learn_vocabulary.
      **options: of Tokenizer.

    Raises:
      DataError: see learn_vocabulary and Tokenizer.
    """
    vocab = learn_vocabulary(texts, vocab_size=vocab_size, lower_case=lower_case, add_mask=add_mask)
    return Tokenizer(vocab, lower_case=lower_case, **options)


def _kind(value: Any) -> str:
    """Name of a type; a list that holds anything but strings is just a "list"."""
    if isinstance(value, list) and all(isinstance(entry, str) for entry in value):
        return "list of str"
    return type(value).__name__


def _not_saved(path: str | Path, got: str) -> DataError:
    return DataError(
        f"tokenizer: got {got} in {str(path)!r}, wanted a file written by Tokenizer.save; give the"
        " tokenizer.json of a run"
    )


def _joined(spans: Sequence[tuple[int, int]], text: str) -> list[tuple[int, int]]:
    """Spans of words, "dog's" being one of them."""
    found: list[tuple[int, int]] = []
    for start, end in spans:
        if found and text[found[-1][1] : start] in _APOSTROPHES:
            found[-1] = (found[-1][0], end)
        else:
            found.append((start, end))
    return found
