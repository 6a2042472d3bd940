"""Figures of matplotlib: as inline SVG that follows light and dark, or as pictures of both."""

import hashlib
import io
import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from xml.etree import ElementTree as ET

from markupsafe import Markup
from matplotlib.figure import Figure

from tvdim_jax.report.style import COLOURS, THEMES, colour, drawing

_VARIABLE_OF = {light: f"var(--{name})" for name, (light, _) in COLOURS.items()}
_COLOUR = re.compile("|".join(_VARIABLE_OF))
_REFERENCE = re.compile(r"(?<=url\()#|^#")
_DOTS_PER_INCH = 200  # of PNG
_NO_METADATA = {"Creator": None, "Date": None, "Format": None, "Type": None}


@drawing()
def figure_svg(fig: Figure, alt: str, titles: Mapping[str, Sequence[str]] | None = None) -> Markup:
    """The figure as an `<svg>` element, equal bytes for equal figures.

    Its colours that are those of `style.colour` become CSS variables, its ids get a prefix of
    their own, and its size is that of its place on the page. Text stays text.

    Args:
      fig: drawn inside `style.drawing`.
      alt: what it shows, for who cannot see it.
      titles: gid of an artist -> texts that appear over its markers, in their order. The markers
        are invisible until then: an invisible twin of a curve shows its numbers.
    """
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        # The browser has glyphs that matplotlib's font lacks.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        fig.savefig(buffer, format="svg", metadata=_NO_METADATA)
    drawn = buffer.getvalue()
    # Not for secrecy: figures of one page must not share ids.
    prefix = "f" + hashlib.sha256(drawn + alt.encode()).hexdigest()[:10]
    root = ET.fromstring(drawn)  # noqa: S314  # written by matplotlib just now
    for metadata in root.findall("{*}metadata"):
        root.remove(metadata)
    for gid, texts in (titles or {}).items():
        _add_titles(root, gid, texts)
    for element in root.iter():
        _adapt(element, prefix)
    for name in ("width", "height", "version"):
        root.attrib.pop(name, None)
    root.attrib |= {"class": "figure", "role": "img", "aria-label": alt}
    return Markup(ET.tostring(root, encoding="unicode"))  # noqa: S704  # ET escapes


def write_png(draw: Callable[[], Figure], path: Path, *, theme: str = "light") -> None:
    """Writes a figure as PNG, on the colour of cards.

    Args:
      draw: makes the figure, with the colours of `style.colour` and inside `style.drawing`.
      path: the file; its folder is made where it is not there.
      theme: one of THEMES.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with drawing(theme):
        draw().savefig(path, dpi=_DOTS_PER_INCH, facecolor=colour("card"))


def write_both_themes(draw: Callable[[], Figure], path: Path) -> None:
    """Writes a figure as NAME.png in light, and beside it as NAME_dark.png.

    Args:
      draw: see `write_png`.
      path: NAME.png.
    """
    for theme in THEMES:
        out = path if theme == "light" else path.with_stem(f"{path.stem}_{theme}")
        write_png(draw, out, theme=theme)


def _add_titles(root: ET.Element, gid: str, texts: Sequence[str]) -> None:
    group = next(each for each in root.iter() if each.get("id") == gid)
    group.set("class", "points")
    for marker, text in zip(group.iterfind(".//{*}use"), texts, strict=True):
        ET.SubElement(marker, "title").text = text


def _adapt(element: ET.Element, prefix: str) -> None:
    """Plain SVG 2 names, colours by variable, ids with the prefix."""
    element.tag = element.tag.rpartition("}")[2]
    attributes = {name.rpartition("}")[2]: value for name, value in element.attrib.items()}
    element.attrib.clear()  # with it go the names of xlink
    for name, value in attributes.items():
        element.set(name, f"{prefix}-{value}" if name == "id" else _adapted(value, prefix))


def _adapted(value: str, prefix: str) -> str:
    if value.startswith("data:"):
        return value
    value = _REFERENCE.sub(f"#{prefix}-", value)
    return _COLOUR.sub(lambda found: _VARIABLE_OF[found[0]], value)
