"""One visual language: colours of light and dark, the type, and matplotlib's settings for both."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import matplotlib as mpl
from cycler import cycler

# Name -> colour on light and on dark ground. The series are those of Okabe and Ito (2008), which
# colour-blind readers tell apart, made darker or lighter where 3:1 to the ground was missing.
COLOURS = {
    "paper": ("#f6f7f9", "#101418"),  # behind all
    "card": ("#ffffff", "#181e24"),  # behind text and figures
    "ink": ("#1d2329", "#e8ecf0"),  # text
    "muted": ("#5c6873", "#9aa7b3"),  # units, axes, notes
    "line": ("#dde2e7", "#2c353e"),  # borders and grids
    "blue": ("#0072b2", "#56b4e9"),
    "vermilion": ("#d55e00", "#ff9248"),
    "green": ("#008f68", "#2fc79c"),
    "purple": ("#b4568a", "#e59cc5"),
    "orange": ("#b27c00", "#f2bd45"),
    "sky": ("#2b8cc4", "#9ad4f7"),
}
SERIES = ("blue", "vermilion", "green", "purple", "orange", "sky")  # in the order to take them
MARKERS = "osD^vP"  # colour is not all that tells
DASHED = (0, (4, 3))  # the lines of levels, such as a ceiling
FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Noto Sans', 'DejaVu Sans', sans-serif"
THEMES = ("light", "dark")  # the places of their colours in COLOURS
_theme = ContextVar("theme", default="light")


def colour(name: str) -> str:
    """What to give to matplotlib for a colour, in the theme of `drawing`.

    `figure_svg` makes those of the light theme follow the reader's.

    Args:
      name: a key of COLOURS.
    """
    return COLOURS[name][THEMES.index(_theme.get())]


def series(index: int) -> str:
    """As `colour`, of the series of this index; after the last comes the first."""
    return colour(SERIES[index % len(SERIES)])


def marker(index: int) -> str:
    """The marker of matplotlib that goes with `series(index)`."""
    return MARKERS[index % len(MARKERS)]


def css_variables() -> str:
    """The colours as CSS: `--blue: light-dark(...)` and so on, and `--font`."""
    names = [f"--{name}: light-dark({light}, {dark});" for name, (light, dark) in COLOURS.items()]
    return "\n".join([*names, f"--font: {FONT};"])


@contextmanager
def drawing(theme: str = "light") -> Iterator[None]:
    """Matplotlib's settings inside; also a decorator, `@drawing()`, of a function that draws.

    Args:
      theme: one of THEMES; what goes to `figure_svg` is drawn in light.
    """
    token = _theme.set(theme)
    try:
        with mpl.rc_context(_settings()):
            yield
    finally:
        _theme.reset(token)


def _settings() -> dict[Any, Any]:  # its own type lists every name
    ink, muted, line = map(colour, ("ink", "muted", "line"))
    return {
        "axes.axisbelow": True,
        "axes.edgecolor": line,
        "axes.facecolor": "none",
        "axes.formatter.useoffset": False,  # no numbers that are less or more by what stands aside
        "axes.grid": True,
        "axes.labelcolor": muted,
        "axes.labelsize": 9,
        "axes.prop_cycle": cycler(color=[colour(name) for name in SERIES]),
        "axes.spines.right": False,
        "axes.spines.top": False,
        "axes.titlecolor": ink,
        "axes.titlelocation": "left",
        "axes.titlesize": 10,
        "axes.titleweight": "bold",
        "figure.constrained_layout.use": True,
        "figure.facecolor": "none",
        "font.family": "sans-serif",
        "font.sans-serif": ["DejaVu Sans"],  # measures the text; the page's font draws it
        "font.size": 9,
        "grid.color": line,
        "grid.linewidth": 0.8,
        "image.interpolation": "nearest",
        "legend.frameon": False,
        "legend.fontsize": 8.5,
        "lines.linewidth": 1.8,
        "lines.solid_capstyle": "round",
        "lines.solid_joinstyle": "round",
        "patch.linewidth": 0,
        "svg.fonttype": "none",
        "svg.hashsalt": "tvdim_jax",  # equal figures give equal bytes
        "text.color": ink,
        "text.parse_math": False,  # a dollar in a caption is a dollar
        "xtick.color": muted,
        "xtick.labelsize": 8.5,
        "xtick.major.size": 0,
        "ytick.color": muted,
        "ytick.labelsize": 8.5,
        "ytick.major.size": 0,
    }
