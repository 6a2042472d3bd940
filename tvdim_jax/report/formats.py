"""Numbers as people read them."""

from datetime import timedelta

NOTHING = "–"  # where there is no number
_LONGEST_NAME = 28  # characters that a figure has room for
_SPELLED = {"auc": "AUC", "knn": "kNN", "mi": "MI", "vqa": "VQA", "nlvr": "NLVR2", "nce": "NCE"}


def percent(value: float | None) -> str:
    """A share in percent with one digit; None gives a dash."""
    return NOTHING if value is None else f"{100 * value:.1f} %"


def round_percent(share: float) -> str:
    """A share in percent without needless digits, such as "95 %"."""
    return f"{number(100 * share)} %"


def points(difference: float) -> str:
    """A difference of shares in percentage points."""
    return f"{100 * difference:.1f}"


def number(value: float | None) -> str:
    """Four significant digits, thousands with commas; None gives a dash."""
    if value is None:
        return NOTHING
    if float(value).is_integer() and abs(value) < 1e12:
        return f"{int(value):,}"
    return f"{value:,.0f}" if abs(value) >= 1e4 else f"{value:.4g}"


def duration(seconds: float) -> str:
    """Such as "12.3 s", and "0:04:10" from a minute on."""
    return f"{seconds:.1f} s" if seconds < 60 else str(timedelta(seconds=round(seconds)))


def shortened(name: str) -> str:
    """A name of a run for a figure; of a long one the end, in which runs mostly differ."""
    return name if len(name) <= _LONGEST_NAME else f"…{name[1 - _LONGEST_NAME :]}"


def words(name: str) -> str:
    """A name of a task or a metric as text."""
    return " ".join(_SPELLED.get(word, word) for word in name.split("_"))
