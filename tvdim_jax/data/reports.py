"""Radiology reports as text: the sections that say what the image shows, and their sentences."""

import re
from collections.abc import Iterator, Sequence

from tvdim_jax.data.text_ops import clean_caption, text_id

MAX_CHARACTERS = 20_000
MIN_WORDS = 2  # of "No pneumothorax.": words or numbers, the full stop is none

# Beginnings of the words that make a line a heading.
_WANTED = ("FINDING", "IMPRESSION", "CONCLUSION", "RECOMMENDATION")
_OTHER = (
    *("EXAM", "STUDY", "INDICATION", "HISTORY", "INFORMATION", "REASON", "TECHNI", "PROCEDURE"),
    *("COMPARISON", "NOTIF", "ADDENDUM", "READ", "REFERENCE", "SIGNED", "DICTATED"),
)
_FINAL = re.compile(r"\bFINAL REPORT\b:?")
# What may be a heading: it opens a line or follows a full stop, and ends in a colon or its line.
_CANDIDATE = re.compile(
    r"(?:^[ \t]*|(?<=[.!?])[ \t]+)([A-Za-z][A-Za-z()/&, \t-]{2,59})(:|[ \t]*$)", re.MULTILINE
)

_MARKER = re.compile(r"\s*(?:[-*•·–—]+|\(?\d{1,2}[.)])\s+")  # a bullet or number that opens a line
_NUMBER = re.compile(r"^\(?\d{1,2}[.)](?:\s+|$)")  # the same inside a line
_END = re.compile(r"(?<![.!?])[.!?]+[\"')\]”’]*(?=\s)")
_ABBREVIATIONS = frozenset(
    ["approx", "ca", "cf", "dr", "e.g", "eg", "i.e", "ie", "incl", "mr", "mrs", "ms", "prof", "pt"]
)
_UNLESS_CAPITAL = frozenset(["a.m", "p.m", "cm", "mm", "ml", "kg", "etc"])  # may end a sentence
_BEFORE_NUMBER = frozenset(["fig", "no", "nos", "vol"])
_LONGEST_ABBREVIATION = 12

_REMOVED = re.compile(r"_{2,}")  # what de-identification leaves behind
_LOOSE_POINT = re.compile(r"\s+([.,;:!?])")
_TOKEN = re.compile(r"[^\W_]+(?:[.,'’/-][^\W_]+)*")


def report_text(text: str) -> str:
    """The part of a report that describes the image.

    Of what follows "FINAL REPORT" (all of it where that is missing) the sections with FINDINGS,
    IMPRESSION, CONCLUSION or RECOMMENDATION in their heading, in their order, without headings; all
    of it where it has no such heading. A heading opens a line or follows a full stop, and is one
    word in any case before a colon, or up to 60 capital letters before a colon or a line end.
    Headings of the image's parts ("LUNGS:") stay inside their section.

    Args:
      text: a report, cut after MAX_CHARACTERS.

    Returns:
      The sections, a blank line between them; "" when nothing is left.

    Source: the section filter of the LMI authors' report cleaning (arXiv 2103.04537); the rules
    for headings are ours.
    """
    text = text[:MAX_CHARACTERS].replace("\r\n", "\n").replace("\r", "\n")
    final = _FINAL.search(text)
    body = text[final.end() :] if final else text
    headings = [(match, _is_wanted(match)) for match in _CANDIDATE.finditer(body)]
    headings = [(match, wanted) for match, wanted in headings if wanted is not None]
    if not any(wanted for _, wanted in headings):
        return body.strip()
    ends = [match.start() for match, _ in headings[1:]] + [len(body)]
    sections = [
        body[match.end() : end].strip()
        for (match, wanted), end in zip(headings, ends, strict=True)
        if wanted
    ]
    return "\n\n".join(section for section in sections if section)


def split_sentences(text: str) -> list[str]:
    """Cuts a text into sentences by rules.

    A blank line, a bullet and a list number begin a new one; other line ends are blanks. A full
    stop, question or exclamation mark before white space ends one, but not after an abbreviation
    ("Dr.", "approx.", the initials of a name; "cm." and the like before no capital; "no." before a
    number).

    Args:
      text: any string, cut after MAX_CHARACTERS.

    Returns:
      The sentences in order, without bullets and list numbers, never blank.
    """
    sentences = [
        _NUMBER.sub("", sentence.strip())
        for block in _blocks(text[:MAX_CHARACTERS])
        for sentence in _cut(block)
    ]
    return [sentence for sentence in sentences if sentence]


def report_sentences(texts: Sequence[str], max_sentences: int) -> list[str]:
    """The sentences of one image: what sentence mode trains on.

    Each text is split by `split_sentences`; blanks of de-identification ("___") are taken out, the
    rest cleaned by text_ops.clean_caption; numbers stay. Sentences of fewer than MIN_WORDS words
    or numbers are dropped, and so is a sentence (by text_ops.text_id) that came before.

    Args:
      texts: a report, or the captions of an image.
      max_sentences: S, the first ones are kept.

    Returns:
      At most S different sentences, possibly none.
    """
    found: dict[int, str] = {}
    for text in texts:
        for sentence in split_sentences(text):
            cleaned = _LOOSE_POINT.sub(r"\1", clean_caption(_REMOVED.sub(" ", sentence)))
            if len(_TOKEN.findall(cleaned)) >= MIN_WORDS:
                found.setdefault(text_id(cleaned), cleaned)
    return list(found.values())[:max_sentences]


def _is_wanted(match: re.Match[str]) -> bool | None:
    """Whether a heading opens a section to keep; None where it is no heading."""
    name, end = match.groups()
    words = re.findall("[A-Z]+", name.upper())
    if not name.isupper() and (end != ":" or len(words) != 1):
        return None
    if any(word.startswith(_WANTED) for word in words):
        return True
    return False if any(word.startswith(_OTHER) for word in words) else None


def _blocks(text: str) -> Iterator[str]:
    """Runs of lines that belong together, as one line each."""
    block: list[str] = []  # words
    for line in text.splitlines():
        marker = _MARKER.match(line)
        rest = line[marker.end() if marker else 0 :].strip()
        if block and (marker or not rest):
            yield " ".join(block)
            block = []
        block += rest.split()
    if block:
        yield " ".join(block)


def _cut(block: str) -> Iterator[str]:
    """Sentences of one line in which single blanks stand between the words."""
    start = 0
    for match in _END.finditer(block):
        before = block[max(start, match.start() - _LONGEST_ABBREVIATION) : match.start()]
        following = block[match.end() + 1 : match.end() + 2]
        if match[0] != "." or not _is_abbreviated(before, following):
            yield block[start : match.end()]
            start = match.end()
    yield block[start:]


def _is_abbreviated(before: str, following: str) -> bool:
    """Whether the full stop behind `before` belongs to an abbreviation."""
    words = before.split()
    word = words[-1].lstrip("([\"'").casefold() if words else ""
    opens = len(words) < 2 or words[-2].endswith(".")
    is_initial = len(word) == 1 and word.isalpha() and opens
    if word in _ABBREVIATIONS or is_initial:
        return True
    if word in _BEFORE_NUMBER:
        return following.isdigit()
    return word in _UNLESS_CAPITAL and not following.isupper()
