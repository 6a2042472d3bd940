"""The curves of a run: what was logged while it trained, each with its unit."""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from markupsafe import Markup

from tvdim_jax.report.formats import words
from tvdim_jax.report.lines import Level, Line, draw_lines
from tvdim_jax.report.page import Section, render

Row = Mapping[str, float | None]  # of metrics.jsonl
MOST_OTHERS = 24  # charts of other metrics


class Plan(NamedTuple):
    """A chart to be drawn where the rows have its metrics.

    Attributes:
      title: above it.
      labels: metric -> its name in the legend.
      unit: of the values.
      note: below it.
      level: a dashed line.
      log: its axis is logarithmic.
    """

    title: str
    labels: Mapping[str, str]
    unit: str
    note: str = ""
    level: Level | None = None
    log: bool = False


class Chart(NamedTuple):
    """A chart and the words above and below it."""

    title: str
    figure: Markup
    note: str


def curves_section(
    rows: Sequence[Row],
    *,
    batch_size: int,
    learning_rate: Line | None = None,
    loss_at_chance: float | None = None,
) -> Section:
    """Information, losses, scores, gradient norm, learning rate, and all else that was logged.

    Args:
      rows: of metrics.jsonl, by step; may be empty.
      batch_size: global.
      learning_rate: the main rate of the optimizer at the updates of the rows.
      loss_at_chance: what the whole loss is where nothing was learned; None where nobody knows.
    """
    plans = _plans(rows, ceiling(rows, batch_size), loss_at_chance)
    charts = [chart for plan in plans if (chart := _chart(rows, plan))]
    if learning_rate is not None:
        figure = draw_lines([learning_rate], unit="learning rate")
        charts.append(Chart("Learning rate", figure, "by the schedule of the config"))
    shown = {name for plan in plans for name in plan.labels}
    left = [
        name
        for name in _names(rows, "train/")
        if name not in shown and not name.startswith("train/nonfinite")
    ]
    others = [
        chart
        for name in left[:MOST_OTHERS]
        if (chart := _chart(rows, Plan(words(name[6:]), {name: name}, "as logged")))
    ]
    body = render("curves.html", charts=charts, others=others, num_rows=len(rows))
    return Section("curves", "Curves", body)


def _plans(rows: Sequence[Row], log_n: float, loss_at_chance: float | None) -> list[Plan]:
    return [
        Plan(
            "Mutual information, lower bound",
            {
                name: words(name.removeprefix("train/mi_").removesuffix("_nats"))
                for name in _names(rows, "train/mi_")
            },
            "nats",
            f"InfoNCE on the batch; N = {round(math.exp(log_n)):,}, the positive counted",
            Level(log_n, f"log N = {log_n:.2f}, the ceiling"),
        ),
        Plan(
            "Loss over log N",
            {"train/loss_over_log_n": "loss / log N"},
            "share of log N",
            "InfoNCE loss of the scores; 0 is a solved batch",
            Level(1, "chance"),
        ),
        Plan(
            "Loss",
            {"train/loss": "loss"},
            "as the objective defines it",
            "what the updates minimise, mean since the row before",
            None if loss_at_chance is None else Level(loss_at_chance, "chance, log N"),
        ),
        Plan(
            "Scores of pairs",
            {
                "train/positive_score": "positive pairs",
                "train/hardest_negative_score": "hardest negatives",
            },
            "score of the critic",
            "means over the images; the hardest negative is the best wrong text of the batch",
        ),
        Plan(
            "Gradient norm",
            {"train/grad_norm": "gradient norm"},
            "global L2 norm",
            "before clipping",
            log=True,
        ),
        Plan(
            "Temperature",
            {"train/temperature": "temperature"},
            "temperature",
            "divides the scores",
        ),
        Plan("Held-out scores", _held_out(rows), "share", "at each evaluation so far"),
    ]


def ceiling(rows: Sequence[Row], batch_size: int) -> float:
    """Log N of the bound on mutual information, in nats.

    The rows tell it where the bound and the loss over log N are both there (with a queue, or with
    sentences for anchors, N is not the batch size); else it is that of the batch.
    """
    known = []
    for row in rows:
        bound, share = row.get("train/mi_image_text_nats"), row.get("train/loss_over_log_n")
        if bound is not None and share is not None and abs(1 - share) > 0.05:
            known.append(bound / (1 - share))
    return float(np.median(known)) if known else math.log(batch_size)


def line_of(rows: Sequence[Row], name: str, label: str) -> Line | None:
    """The finite values of a metric over the updates; None where there is none."""
    found = [(row["step"] or 0, row[name]) for row in rows if row.get(name) is not None]
    if not found:
        return None
    steps, values = zip(*found, strict=True)
    return Line(label, steps, values)


def _chart(rows: Sequence[Row], plan: Plan) -> Chart | None:
    """None where no row has any of the metrics."""
    lines = [line for name, label in plan.labels.items() if (line := line_of(rows, name, label))]
    if not lines:
        return None
    figure = draw_lines(lines, unit=plan.unit, level=plan.level, log=plan.log)
    return Chart(plan.title, figure, plan.note)


def _held_out(rows: Sequence[Row]) -> dict[str, str]:
    """Shares that were scored more than once, at most six."""
    often = []
    for name in _names(rows, "eval/"):
        values = [value for row in rows if (value := row.get(name)) is not None]
        if len(values) > 1 and min(values) >= 0 and max(values) <= 1:
            often.append(name)
    return {name: words(" ".join(name.split("/")[2:])) for name in often[:6]}


def _names(rows: Sequence[Row], prefix: str) -> list[str]:
    return list(dict.fromkeys(name for row in rows for name in row if name.startswith(prefix)))
