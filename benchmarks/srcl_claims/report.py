"""Tables of what the arms reached, of their differences, and of the weights."""

from collections.abc import Mapping, Sequence

from benchmarks.studies.tables import Figures, Run, by_seed, cell, heading, subtract, table

BASE = "info_nce"
_OF_SCENES = {"r_precision": "R-precision, class", "recall_at_1": "R@1, instance", "probe": "probe"}
_RECALLS = {"image_to_text_R@10": "image to text R@10", "text_to_image_R@10": "text to image R@10"}
_WEIGHTS = ("mean of false", "AUC of false against true")


def report(runs: Sequence[Run]) -> str:
    """Markdown: for each set its arms, what each gains over InfoNCE, and the weights."""
    parts = []
    for name in sorted({run["set"] for run in runs}):
        of_set = [run for run in runs if run["set"] == name]
        parts += [heading(name, of_set), _arms(of_set), _weights(of_set)]
    return "\n\n".join(part for part in parts if part)


def figures(run: Run) -> Figures:
    """The columns of a run, as shares."""
    results = run["results"]
    found = {column: results[name] for name, column in _OF_SCENES.items() if name in results}
    return found | _recalls(results.get("retrieval", {}))


def _arms(runs: Sequence[Run]) -> str:
    """Means over the seeds, and gains over InfoNCE with the seed where the arm gains least."""
    found = by_seed(runs, figures)
    columns = list(next(iter(next(iter(found.values())).values())))
    rows = []
    for arm, seeds in found.items():
        cells = [cell(column, seeds.values()) for column in columns]
        gains = subtract(seeds, found.get(BASE, {})) if arm != BASE else {}
        cells += [cell(column, gains.values(), sign="+") for column in columns]
        rows.append([arm, *cells, _worst(columns[0], gains)])
    rows += _chance(runs, columns)
    head = ["arm", *columns, *(f"gain, {column}" for column in columns)]
    return table([*head, f"worst seed, {columns[0]}"], rows)


def _recalls(found: Mapping[str, float]) -> dict[str, float]:
    return {column: found[name] for name, column in _RECALLS.items() if name in found}


def _chance(runs: Sequence[Run], columns: Sequence[str]) -> list[list[str]]:
    """A row for what a random order is worth, where that is known."""
    chance = _recalls(runs[0]["results"].get("chance", {}))
    if not chance:
        return []
    return [["chance", *(cell(column, [chance]) for column in columns), *["-"] * len(columns), "-"]]


def _worst(column: str, gains: Mapping[int, Figures]) -> str:
    return f"{100 * min(each[column] for each in gains.values()):+.1f}" if gains else "-"


def _weights(runs: Sequence[Run]) -> str:
    """Where the weights of false negatives lie, by the teacher's and by the own similarity."""
    rows = []
    for arm, seeds in by_seed(runs, _weight_figures).items():
        if any(seeds.values()):
            by_whom = [f"{of}, {name}" for of in ("teacher", "own") for name in _WEIGHTS]
            rows.append([arm, *(cell(name, seeds.values()) for name in by_whom)])
    head = [f"{of}: {name}" for of in ("teacher", "own") for name in _WEIGHTS]
    return table(["weights of", *head], rows) if rows else ""


def _weight_figures(run: Run) -> Figures:
    found = {}
    for of, weights in run["results"].get("weights", {}).items():
        for name, key in zip(_WEIGHTS, ("mean_false", "auc"), strict=True):
            if weights[key] is not None:
                found[f"{of}, {name}"] = weights[key]
    return found
