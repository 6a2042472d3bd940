"""Features in two dimensions, coloured by label."""

from collections import Counter
from collections.abc import Sequence
from importlib.util import find_spec
from typing import NamedTuple

import numpy as np
from markupsafe import Markup
from matplotlib.figure import Figure

from tvdim_jax.report.figures import figure_svg
from tvdim_jax.report.page import Section, render
from tvdim_jax.report.style import SERIES, colour, drawing, marker, series

_OTHERS = "several or others"


class Points(NamedTuple):
    """Features in the plane.

    Attributes:
      method: how they got there, such as "PCA".
      xy: `[n, 2]`.
      axes: what both axes are.
    """

    method: str
    xy: np.ndarray
    axes: tuple[str, str]


def pca_points(features: np.ndarray) -> Points:
    """The first two principal components of the centred features.

    Args:
      features: `[n, D]`, finite, n and D at least 2.

    Raises:
      ValueError: less than two rows or columns.
    """
    if features.ndim != 2 or min(features.shape) < 2:
        raise ValueError(f"PCA: got features {features.shape}, wanted [n, D], both 2 or more")
    centred = features.astype(np.float64) - features.mean(axis=0, dtype=np.float64)
    # The variances of the components are the eigenvalues; as a singular value decomposition of all
    # the rows, for a fraction of its time.
    variances, components = np.linalg.eigh(centred.T @ centred)
    first = components[:, :-3:-1]  # [D, 2], the largest one first
    # Each component points to where its largest weight is positive, so that it is always the same.
    first = first * np.sign(first[np.abs(first).argmax(axis=0), [0, 1]])
    shares = np.maximum(variances[:-3:-1], 0) / max(float(variances.sum()), 1e-30)
    names = tuple(f"component {n} ({100 * share:.0f} % of the variance)" for n, share in
                  enumerate(shares, start=1))  # fmt: skip
    return Points("PCA", centred @ first, (names[0], names[1]))


def umap_points(features: np.ndarray) -> Points | None:
    """UMAP by cosine with its defaults and seed 0; None where umap-learn is not installed.

    Args:
      features: `[n, D]`, finite, n above 15.
    """
    if find_spec("umap") is None:
        return None
    # Only here: it takes seconds to import and few have it.
    import umap  # noqa: PLC0415

    found = umap.UMAP(n_components=2, metric="cosine", random_state=0).fit_transform(features)
    return Points("UMAP", np.asarray(found, np.float64), ("no unit", "no unit"))


def groups_of(labels: Sequence[Sequence[str]]) -> dict[str, np.ndarray]:
    """Rows by the label that colours them, the most frequent labels first.

    Args:
      labels: n rows' names of classes, possibly none.

    Returns:
      Name -> int rows: of the labels with a colour of their own the rows that have no other one of
      them, and last the rows that have several of these or none.
    """
    counts = Counter(label for row in labels for label in set(row))
    shown = [label for label, _ in sorted(counts.items(), key=lambda item: (-item[1], item[0]))]
    shown = shown[: len(SERIES)]
    own = [[label for label in shown if label in row] for row in labels]
    groups = {name: [n for n, each in enumerate(own) if each == [name]] for name in shown}
    groups[_OTHERS] = [n for n, each in enumerate(own) if len(each) != 1]
    return {name: np.array(rows, np.int64) for name, rows in groups.items() if rows}


def scatter_section(plots: Sequence[Points], labels: Sequence[Sequence[str]]) -> Section:
    """Each set of points as a figure, coloured by label where there are labels.

    Args:
      plots: of the same n images.
      labels: of these images.
    """
    groups = groups_of(labels)
    figures = [{"method": plot.method, "svg": _figure(plot, groups)} for plot in plots]
    body = render(
        "scatter.html", figures=figures, num=len(labels), has_labels=any(map(len, labels))
    )
    return Section("features", "The features in two dimensions", body)


@drawing()
def _figure(plot: Points, groups: dict[str, np.ndarray]) -> Markup:
    figure = Figure(figsize=(4.4, 4.1))
    axis = figure.subplots()
    has_labels = list(groups) != [_OTHERS]
    for number, (name, rows) in enumerate(groups.items()):
        of_label = name != _OTHERS
        axis.scatter(
            plot.xy[rows, 0],
            plot.xy[rows, 1],
            s=9,
            color=series(number) if of_label or not has_labels else colour("muted"),
            marker=marker(number) if of_label else ".",
            alpha=0.75,
            linewidths=0,
            label=f"{name} ({len(rows):,})",
        )
    axis.set(xlabel=plot.axes[0], ylabel=plot.axes[1])
    axis.set_xticklabels([])
    axis.set_yticklabels([])
    if has_labels:
        axis.legend(loc="upper left", bbox_to_anchor=(0, -0.12), ncols=2, markerscale=1.8)
    return figure_svg(figure, f"{plot.method} of {sum(map(len, groups.values())):,} images")
