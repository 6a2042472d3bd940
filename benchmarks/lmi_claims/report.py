"""Tables of what the arms reached, and where they stand in the docs."""

import json
import statistics
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.lmi_claims.arms import SETS

BEGIN, END = "<!-- claims_lmi: begin -->", "<!-- claims_lmi: end -->"
COLUMNS = (
    *("probe, global", "probe, regions", "image to report R@10", "report to image R@10"),
    *("pointing", "other sentence"),
)
# Pairs of arms that differ in one thing.
COMPARED = (
    ("local_info_nce", "global_info_nce"),
    ("local_global_info_nce", "global_info_nce"),
    ("local_dot", "global_dot"),
    ("local_global_dot", "global_dot"),
    ("global_dv", "global_info_nce"),
    ("global_info_nce", "image_only"),
)

_WAYS = ("image_to_text", "text_to_image")

Run = Mapping[str, Any]


def read_runs(folder: Path) -> list[Run]:
    """All records under a folder, in the order of their paths."""
    return [json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.rglob("*.json"))]


def figures(run: Run) -> dict[str, float]:
    """The columns of a run, as shares; those that the arm cannot have are left out.

    Retrieval is by the scores that the arm trained, of two critics by their sum.
    """
    results = run["results"]
    (whole,), (regions,) = (results["probe"][name].values() for name in ("global", "regions"))
    found = [whole, regions]
    if retrieval := results.get("retrieval"):
        best = next(retrieval[name] for name in ("sum", "local", "global") if name in retrieval)
        found += [best[f"{way}_R@10"] for way in _WAYS]
    if pointing := results.get("pointing"):
        found += [pointing["hits"], pointing["swapped"]]
    return dict(zip(COLUMNS, found, strict=False))


def report(runs: Sequence[Run]) -> str:
    """Markdown: for each set a table of its arms and one of their differences, seed by seed."""
    parts = []
    for name, arms in SETS.items():
        of_set = [run for run in runs if run["set"] == name]
        if of_set:
            tables = _arms(arms, of_set), _pointing(arms, of_set), _differences(of_set)
            parts += [_heading(name, of_set), *tables]
    return "\n\n".join(part for part in parts if part)


def write_report(path: Path, runs: Sequence[Run]) -> None:
    """Puts the tables between the two markers of a page.

    Raises:
      ValueError: no runs, or the page has no such markers.
    """
    if not runs:
        raise ValueError("got a folder without records, wanted that of a study; set --out")
    page = path.read_text(encoding="utf-8")
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"got {path}, wanted a page with the lines {BEGIN} and {END}; add them")
    path.write_text(f"{before}{BEGIN}\n{report(runs)}\n{END}{after}", encoding="utf-8")


def _heading(name: str, runs: Sequence[Run]) -> str:
    seeds = ", ".join(map(str, sorted({run["seed"] for run in runs})))
    devices = sorted({run["device"] for run in runs})
    steps = sorted({run["num_steps"] for run in runs})
    updates = " or ".join(f"{num:,}" for num in steps)
    first = runs[0]
    return (
        f"**{name}**: {updates} updates of {first['batch_size']} images, "
        f"seeds {seeds}, {first['num_test']:,} test images, {', '.join(devices)}. Percent, "
        "mean ± standard deviation over the seeds."
    )


def _arms(arms: Iterable[str], runs: Sequence[Run]) -> str:
    rows = []
    for arm in arms:
        of_arm = [run for run in runs if run["arm"] == arm]
        if of_arm:
            minutes = statistics.fmean(run["train_cpu_seconds"] for run in of_arm) / 60
            cells = [_cell(column, [figures(run) for run in of_arm]) for column in COLUMNS]
            rows.append([arm, *cells, f"{minutes:.1f}"])
    rows += _baselines(runs)
    return _table(["arm", *COLUMNS, "CPU minutes"], rows)


def _pointing(arms: Iterable[str], runs: Sequence[Run]) -> str:
    """How far above chance the worst seed of each arm points."""
    found: dict[str, list[float]] = {arm: [] for arm in arms}
    for run in runs:
        if pointing := run["results"].get("pointing"):
            found[run["arm"]].append(pointing["hits"] / pointing["chance"])
    worst = [f"{arm} {min(shares):.1f}" for arm, shares in found.items() if shares]
    return f"Pointing in units of chance, the worst seed: {', '.join(worst)}." if worst else ""


def _baselines(runs: Sequence[Run]) -> list[list[str]]:
    results = [run["results"] for run in runs]
    chance = [each["retrieval"]["chance"] for each in results if "retrieval" in each]
    pointing = [each["pointing"] for each in results if "pointing" in each]
    rows = []
    if chance:
        recalls = [f"{100 * chance[0][f'{way}_R@10']:.1f}" for way in _WAYS]
        point = f"{100 * pointing[0]['chance']:.1f}" if pointing else "-"
        rows.append(["chance", "-", "-", *recalls, point, "-", "-"])
    if pointing:
        centre = f"{100 * pointing[0]['centre']:.1f}"
        rows.append(["always the centre", "-", "-", "-", "-", centre, "-", "-"])
    return rows


def _differences(runs: Sequence[Run]) -> str:
    """Of arms that are compared, over the seeds that both have."""
    by_arm: dict[str, dict[int, dict[str, float]]] = {}
    for run in runs:
        by_arm.setdefault(run["arm"], {})[run["seed"]] = figures(run)
    rows = []
    for first, second in COMPARED:
        seeds = sorted(by_arm.get(first, {}).keys() & by_arm.get(second, {}).keys())
        pairs = [(by_arm[first][seed], by_arm[second][seed]) for seed in seeds]
        found = [{k: a[k] - b[k] for k in a.keys() & b.keys()} for a, b in pairs]
        if found:
            rows.append([f"{first} - {second}", *(_cell(k, found, "+") for k in COLUMNS[:4])])
    return _table(["difference, seed by seed", *COLUMNS[:4]], rows) if rows else ""


def _cell(column: str, found: Sequence[Mapping[str, float]], sign: str = "") -> str:
    values = [100 * each[column] for each in found if column in each]
    if not values:
        return "-"
    spread = f" ± {statistics.stdev(values):.1f}" if len(values) > 1 else ""
    return f"{statistics.fmean(values):{sign}.1f}{spread}"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
