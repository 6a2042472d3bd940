"""The soft accuracy of VQA, with its normalisation of answers.

Written after the rules of visualqa.org/evaluation and checked against what the official program
does where the two differ: a period stays before a digit only; a punctuation mark that stands beside
a blank goes without leaving one, and all do in an answer with a comma between digits; "somebody'd"
loses its apostrophe; the people's answers keep their case, numbers and articles, and all of it if
all people agree.
"""

import re
from collections.abc import Sequence

import numpy as np

_PUNCTUATION = ';/[]"{}()=+\\_-><@`,?!'
_COMMA_IN_NUMBER = re.compile(r"\d,\d")
_PERIOD = re.compile(r"\.(?!\d)")
_NUMBERS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
_DIGITS = {"none": "0", **{word: str(number) for number, word in enumerate(_NUMBERS)}}
_ARTICLES = {"a", "an", "the"}
_CONTRACTIONS = (
    "ain't aren't can't could've couldn't couldn't've didn't doesn't don't hadn't hadn't've hasn't "
    "haven't he'd he'd've he's how'd how'll how's isn't it'd it'd've it'll ma'am mightn't "
    "mightn't've might've mustn't must've needn't not've o'clock oughtn't 'ow's'at shan't she'd've "
    "should've shouldn't shouldn't've somebody'd've somebody'll somebody's someone'd someone'd've "
    "someone'll someone's something'd something'd've something'll that's there'd there'd've "
    "there're there's they'd they'd've they'll they're they've 'twas wasn't we'd've we've weren't "
    "what'll what're what's what've when's where'd where's where've who'd who'd've who'll who's "
    "who've why'll why're why's won't would've wouldn't wouldn't've y'all y'all'll y'all'd've "
    "you'd you'd've you'll you're you've"
)
# A contraction without one of its apostrophes -> the whole one.
_WITH_APOSTROPHE = {
    word[:place] + word[place + 1 :]: word
    for word in _CONTRACTIONS.split()
    for place, letter in enumerate(word)
    if letter == "'"
} | {"somebody'd": "somebodyd"}


def normalised_answer(text: str) -> str:
    """A predicted answer as it is compared: lower case, digits, no articles or punctuation."""
    words = _without_punctuation(" ".join(text.split())).lower().split()
    kept = (_DIGITS.get(word, word) for word in words)
    return " ".join(_WITH_APOSTROPHE.get(word, word) for word in kept if word not in _ARTICLES)


def soft_accuracy(prediction: str, answers: Sequence[str]) -> float:
    """How far people agree with an answer to one question.

    The mean, over all sets of people but one, of `min(1, number of equal answers in the set / 3)`.

    Args:
      prediction: the answer, normalised here.
      answers: of all people, mostly ten.

    Returns:
      In [0, 1].

    Raises:
      ValueError: nobody's answer is given.

    Source: Antol et al. 2015 (arXiv 1505.00468); Goyal et al. 2017 (arXiv 1612.00837).
    """
    if not answers:
        raise ValueError(
            "VQA accuracy: got no answers to a question, wanted those of its annotators; score a "
            "split that has them"
        )
    agreed = len(set(answers)) == 1
    prediction = normalised_answer(prediction)
    equal = [prediction == (text if agreed else _without_punctuation(text)) for text in answers]
    return float(np.mean([min(1, (sum(equal) - mine) / 3) for mine in equal]))


def vqa_accuracy(predictions: Sequence[str], answers: Sequence[Sequence[str]]) -> dict[str, float]:
    """The soft accuracy of a set.

    Args:
      predictions: of n questions, n >= 1.
      answers: of n questions, those of all people.

    Returns:
      "soft_accuracy", the mean in [0, 1].

    Raises:
      ValueError: no question, another number of answers, or see `soft_accuracy`.
    """
    if not predictions or len(predictions) != len(answers):
        raise ValueError(
            f"VQA accuracy: got {len(predictions)} predictions and {len(answers)} questions with "
            "answers, wanted as many, one or more; give one prediction per question"
        )
    each = [soft_accuracy(*pair) for pair in zip(predictions, answers, strict=True)]
    return {"soft_accuracy": float(np.mean(each))}


def _without_punctuation(text: str) -> str:
    joined = _COMMA_IN_NUMBER.search(text) is not None
    found = text
    for mark in _PUNCTUATION:
        beside_blank = f"{mark} " in text or f" {mark}" in text
        found = found.replace(mark, "" if joined or beside_blank else " ")
    return _PERIOD.sub("", found)
