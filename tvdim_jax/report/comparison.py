"""Several runs side by side: scores, differences with intervals, curves, and what was set apart."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from markupsafe import Markup

from tvdim_jax.report.curves import Row, line_of
from tvdim_jax.report.formats import NOTHING, percent, points, round_percent, shortened, words
from tvdim_jax.report.intervals import Interval, draw_intervals
from tvdim_jax.report.lines import Level, draw_lines
from tvdim_jax.report.page import Section, render
from tvdim_jax.report.scores import Score

_CURVES = (
    ("Mutual information, lower bound", "train/mi_image_text_nats", "nats"),
    ("Loss over log N", "train/loss_over_log_n", "share of log N"),
    ("Loss", "train/loss", "as each objective defines it"),
    ("Throughput", "perf/examples_per_second", "examples / s"),
)


class ComparedRun(NamedTuple):
    """What is compared of a run.

    Attributes:
      name: unlike that of the other runs.
      rows: of metrics.jsonl, by step.
      scores: see `scores_of`.
      fields: of its config by their full names.
    """

    name: str
    rows: Sequence[Row]
    scores: Sequence[Score]
    fields: Mapping[str, Any]


class Differences(NamedTuple):
    """One run minus the first one, on the same test images.

    Attributes:
      name: of the run.
      found: what was scored -> the difference and its interval, as shares.
      notes: what is not alike, or was not compared.
    """

    name: str
    found: Mapping[str, Interval]
    notes: Sequence[str]


def comparison_sections(
    runs: Sequence[ComparedRun], differences: Sequence[Differences], *, confidence: float
) -> list[Section]:
    """Scores, differences, curves and fields.

    Args:
      runs: two at least.
      differences: of each run but the first.
      confidence: of the intervals.
    """
    first = runs[0].name
    drawn = [(each, _figure(each, first)) for each in differences]
    differing = [row for row in _fields(runs) if len(set(row[1])) > 1]
    names = [run.name for run in runs]
    charts = [
        (title, draw_lines(lines, unit=unit))
        for title, metric, unit in _CURVES
        if (lines := [line for run in runs if (line := line_of(run.rows, metric, run.name))])
    ]
    return [
        Section("scores", "Scores", render(
            "compared_scores.html", names=names, rows=[*_scores(runs)])),
        Section("differences", f"Differences from {first}", render(
            "differences.html", drawn=drawn, first=first, share=round_percent(confidence))),
        Section("curves", "Curves", render("curves.html", charts=[
            {"title": title, "figure": figure, "note": ""} for title, figure in charts
        ], others=[], num_rows=0)),
        Section("settings", "Fields that differ", render(
            "compared_fields.html", names=names, rows=differing)),
    ]  # fmt: skip


def comparison_lead(differences: Sequence[Differences], first: str) -> Markup:
    """A line for each difference: how large it is, and whether its interval leaves out zero."""
    lines = []
    for run in differences:
        for what, (value, low, high) in run.found.items():
            where = "above" if value >= 0 else "below"
            clear = "leaves out zero" if low > 0 or high < 0 else "holds zero: it may be chance"
            ends = f"{100 * low:+.1f} to {100 * high:+.1f}"
            lines.append(
                f"{run.name} is {points(abs(value))} points {where} {first} in {what}; "
                f"the interval {ends} {clear}"
            )
    return render("compared_lead.html", first=first, lines=lines)


def _scores(runs: Sequence[ComparedRun]) -> Iterator[tuple[str, list[str]]]:
    """A row for each metric that some run has; a line above each task."""
    found: dict[tuple[str, str], dict[str, dict[str, float]]] = {}
    for run in runs:
        for score in run.scores:
            metrics = found.setdefault((score.task, score.dataset), {})
            metrics.setdefault(score.metric, {})[run.name] = score.value
    for (task, dataset), metrics in found.items():
        yield Markup("<b>{}</b>").format(f"{words(task)} on {dataset}"), []
        for metric, values in metrics.items():
            yield words(metric), [percent(values.get(run.name)) for run in runs]


def _fields(runs: Sequence[ComparedRun]) -> Iterator[tuple[str, list[str]]]:
    for name in dict.fromkeys(name for run in runs for name in run.fields):
        yield (
            name,
            [
                json.dumps(run.fields[name], ensure_ascii=False) if name in run.fields else NOTHING
                for run in runs
            ],
        )


def _figure(differences: Differences, first: str) -> Markup | None:
    if not differences.found:
        return None
    in_points = [
        Interval(*(100 * each for each in interval)) for interval in differences.found.values()
    ]
    unit = f"percentage points, {shortened(differences.name)} minus {shortened(first)}"
    return draw_intervals([*differences.found], {differences.name: in_points}, unit=unit,
                          level=Level(0, ""))  # fmt: skip
