"""The numbers of a run that tables and plots show."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from benchmarks.studies.tables import Figures, Run, cell

_WAYS = {"image to text": "image_to_text", "text to image": "text_to_image"}


class Unit(NamedTuple):
    """How a column is written: shares in percent unless it says otherwise."""

    scale: float = 100
    digits: int = 1


RECALLS = tuple(f"{way} R@{k}" for way in _WAYS for k in (1, 5, 10))
UNITS: Mapping[str, Unit] = {
    "MI, nats": Unit(1, 2),
    "cosine, train": Unit(1, 2),
    "cosine, test": Unit(1, 2),
    "hardest wrong, test": Unit(1, 2),
    "swapped: given": Unit(1, 2),
    "swapped: own": Unit(1, 2),
    "loss / log N": Unit(1, 2),
    "gradient norm": Unit(1, 2),
    "directions": Unit(1, 1),
}


def image_figures(run: Run) -> dict[str, float]:
    """Of the images: "probe" and "kNN" of the set, "1-shot" and so on, and other sets' probes."""
    results = run["results"]
    found = {"probe": results["probe"]["value"], "kNN": results["knn"]["value"]}
    found |= {f"{k}-shot": each["value"] for k, each in results.get("few_shot", {}).items()}
    return found | {
        f"{name} probe": each["probe"]["value"] for name, each in results["transfer"].items()
    }


def text_figures(run: Run) -> dict[str, float]:
    """Of images and texts: `RECALLS` and "MI, nats"; nothing for arms without text."""
    results = run["results"]
    if "retrieval" not in results:
        return {}
    return recalls(results["retrieval"]["metrics"]) | {"MI, nats": results["mi"]["nats"]}


def recalls(metrics: Mapping[str, float]) -> dict[str, float]:
    """Recalls by the names of the columns."""
    return {
        f"{way} R@{k}": metrics[f"{key}_R@{k}"] for way, key in _WAYS.items() for k in (1, 5, 10)
    }


def why_figures(run: Run) -> dict[str, float]:
    """What may explain the others: scores, what of the hinge still pulls, gradient, spread."""
    results, last = run["results"], run["last_metrics"]
    found = {"directions": results["participation_ratio"]}
    if "train/grad_norm" in last:
        found["gradient norm"] = last["train/grad_norm"]
    if "pairs" not in results:
        return found
    pairs = results["pairs"]
    found |= {
        "cosine, train": pairs["train"]["positive_mean"],
        "cosine, test": pairs["test"]["positive_mean"],
        "hardest wrong, test": pairs["test"]["hardest_mean"],
        "pulled, train": pairs["train"]["active_share"],
        "pulled, test": pairs["test"]["active_share"],
        "loss / log N": last["train/loss_over_log_n"],
    }
    return found | {f"swapped: {name}": value for name, value in pairs.get("swapped", {}).items()}


def cells(columns: Sequence[str], found: Sequence[Figures], *, sign: str = "") -> list[str]:
    """A cell for each column, in its unit."""
    units = [UNITS.get(column, Unit()) for column in columns]
    return [
        cell(column, found, sign=sign, scale=unit.scale, digits=unit.digits)
        for column, unit in zip(columns, units, strict=True)
    ]
