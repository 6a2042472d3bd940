"""Tables of what the arms reached."""

from collections.abc import Iterable, Sequence

from benchmarks.lmi_claims.arms import SETS
from benchmarks.studies.tables import Run, by_seed, cell, cpu_minutes, heading, subtract, table

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
            parts += [heading(name, of_set), *tables]
    return "\n\n".join(part for part in parts if part)


def _arms(arms: Iterable[str], runs: Sequence[Run]) -> str:
    rows = []
    for arm in arms:
        of_arm = [run for run in runs if run["arm"] == arm]
        if of_arm:
            cells = [cell(column, map(figures, of_arm)) for column in COLUMNS]
            rows.append([arm, *cells, cpu_minutes(of_arm)])
    rows += _baselines(runs)
    return table(["arm", *COLUMNS, "CPU minutes"], rows)


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
    by_arm = by_seed(runs, figures)
    rows = []
    for first, second in COMPARED:
        if found := subtract(by_arm.get(first, {}), by_arm.get(second, {})):
            cells = (cell(column, found.values(), sign="+") for column in COLUMNS[:4])
            rows.append([f"{first} - {second}", *cells])
    return table(["difference, seed by seed", *COLUMNS[:4]], rows) if rows else ""
