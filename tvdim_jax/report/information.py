"""The panel of bounds on mutual information, with the ceiling that InfoNCE cannot pass."""

from collections.abc import Mapping, Sequence
from typing import Any

from tvdim_jax.evals.mi_estimate import ESTIMATE_NAMES
from tvdim_jax.report.formats import round_percent
from tvdim_jax.report.intervals import Interval, draw_intervals
from tvdim_jax.report.lines import Level
from tvdim_jax.report.page import Section, render
from tvdim_jax.report.scores import TRAINED, Record


def information_section(records: Sequence[Record], *, run: str, has_text: bool) -> Section:
    """The bounds of the task `mi` with their intervals, of every set that it scored.

    Args:
      records: all that was scored.
      run: name of the run's folder, for the command where the task was not scored.
      has_text: whether the run has texts to share information with.
    """
    found = [record for record in records if record["task"] == "mi"]
    panels = [
        {
            **record["panel"],
            "dataset": record["dataset"],
            "figure": _figure(record),
            "share": round_percent(record["panel"]["confidence"]),
            "unbounded": _unbounded(record["panel"]),
        }
        for record in found
        if record.get("panel")
    ]
    body = render("information.html", panels=panels, scored=bool(found), run=run, has_text=has_text)
    return Section("information", "Mutual information of held-out pairs", body)


def _figure(record: Record) -> Any:
    panels = {TRAINED: record["panel"]} | {
        name: result["panel"]
        for name, result in record.get("baselines", {}).items()
        if result.get("panel")
    }
    names = [name for name in ESTIMATE_NAMES if name in record["panel"]["estimates"]]
    found = {
        features: [_interval(panel["estimates"].get(name)) for name in names]
        for features, panel in panels.items()
    }
    log_n, size = record["panel"]["log_n"], record["panel"]["pairs_per_tile"]
    return draw_intervals(
        [ESTIMATE_NAMES[name] for name in names],
        found,
        unit="nats",
        level=Level(log_n, f"log {size:,} = {log_n:.2f}, the ceiling of InfoNCE"),
        lowest=-log_n,
    )


def _interval(estimate: Mapping[str, float | None] | None) -> Interval | None:
    """None where the bound or an end of its interval is not finite."""
    found = [None] if estimate is None else [estimate[each] for each in ("nats", "low", "high")]
    known = [each for each in found if each is not None]
    return Interval(*known) if len(known) == len(found) else None


def _unbounded(panel: Mapping[str, Any]) -> list[str]:
    """Bounds without a finite value, or without a finite interval."""
    return [
        ESTIMATE_NAMES.get(name, name)
        for name, each in panel["estimates"].items()
        if each["nats"] is None
    ]
