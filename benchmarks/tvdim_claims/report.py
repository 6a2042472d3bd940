"""Tables of what the arms reached."""

from collections.abc import Callable, Iterable, Mapping, Sequence

from benchmarks.studies.tables import Figures, Run, by_seed, cpu_minutes, heading, subtract, table
from benchmarks.tvdim_claims.arms import (
    ABLATIONS,
    MAIN,
    NOISE_PERCENTS,
    PAIR_LOSSES,
    SIZES,
    name_at,
)
from benchmarks.tvdim_claims.figures import (
    RECALLS,
    cells,
    image_figures,
    recalls,
    text_figures,
    why_figures,
)
from benchmarks.tvdim_claims.tuning import TUNING_ARMS, choose_recipe

_LOSSES_BY_NOISE = tuple(name_at(arm, p) for arm in PAIR_LOSSES for p in NOISE_PERCENTS)
# The rows of the tables: those of one loss together.
ARMS = (
    *(arm for arm in MAIN if arm not in _LOSSES_BY_NOISE),
    *_LOSSES_BY_NOISE,
    *ABLATIONS,
)


def _usual(choice: str) -> str:
    """The arm that an arm of `ABLATIONS` differs from in one choice."""
    loss = "info_nce" if choice.startswith("info_nce") else "ranking"
    return name_at(loss, 40 if choice.endswith("noise40") else 0)


# Pairs of arms that differ in one thing, the ones of the claims first.
COMPARED = (
    *(("ranking", other) for other in ("amdim", "random", "pixels", "text_only", "info_nce")),
    *((other, "amdim") for other in ("info_nce", "similarity_regulated", "text_only")),
    *((name, "amdim") for name in ("ranking_noise40", "ranking_noise60", "info_nce_noise40")),
    ("similarity_regulated", "info_nce"),
    *((name_at("ranking", p), name_at("info_nce", p)) for p in NOISE_PERCENTS[1:]),
    *((name, _usual(name)) for name in ABLATIONS),
    *(
        (name_at("ranking", p), name_at(f"info_nce_{choice}", p))
        for choice in ("weight0.3", "temperature0.2")
        for p in (0, 40)
    ),
)
_LEGEND = (
    "What may explain the rest. Directions: how many the vectors of the test images use "
    "(participation ratio). Cosine: of images with their own captions; hardest wrong: of each one "
    "with the wrong text nearest to it. Pulled: share of wrong pairs that do not trail the right "
    "one by the margin. Loss / log N: of InfoNCE on the last batches, 1 is chance. Swapped: of "
    "images whose captions were swapped, with a caption that they were given and with their own."
)


def report(runs: Sequence[Run]) -> str:
    """Markdown: for each size and set how it was made, then the tables that have rows."""
    parts = []
    for size in SIZES:
        for name in ("tuning", "captions", "products"):
            of_set = [run for run in runs if (run["size"], run["set"]) == (size, name)]
            if of_set:
                parts.append(heading(f"{name}, size {size}", of_set))
                parts += _tuning(of_set) if name == "tuning" else _tables(of_set)
    return "\n\n".join(part for part in parts if part)


def _tuning(runs: Sequence[Run]) -> list[str]:
    rows = [[run["arm"], *cells(["probe"], [image_figures(run)])] for run in runs]
    chosen = ""
    if len(runs) == len(TUNING_ARMS):
        recipe = choose_recipe(runs)
        chosen = (
            f"Chosen: learning rate {recipe.learning_rate:g}, InfoNCE's temperature "
            f"{recipe.temperature:g}."
        )
    return [table(["arm", "probe"], rows), chosen]


def _tables(runs: Sequence[Run]) -> list[str]:
    images = list(dict.fromkeys(column for run in runs for column in image_figures(run)))
    texts = [*RECALLS, "MI, nats"]
    both = [*images, *(f"{way} R@10" for way in ("image to text", "text to image")), "MI, nats"]
    return [
        _protocol(runs[0]),
        _arms(runs, images, image_figures, with_minutes=True),
        _arms(runs, texts, text_figures, last=_chance(runs)),
        _differences(runs, both),
        _lost(runs, both),
        _why(runs),
    ]


def _protocol(run: Run) -> str:
    """What the columns are."""
    results = run["results"]
    probe, classes = results["probe"], results["classes"]
    metric = "mean AUC over" if probe["metric"] == "mean_auc" else "class-mean accuracy of"
    return (
        f"Probe and kNN: {metric} {len(classes)} classes ({', '.join(classes)}), "
        f"{probe['num_train']:,} images to fit them and {probe['num_test']:,} to score them. "
        "Probes of other sets: accuracy."
    )


def _arms(
    runs: Sequence[Run],
    columns: Sequence[str],
    figures: Callable[[Run], Figures],
    *,
    last: Iterable[Sequence[str]] = (),
    with_minutes: bool = False,
) -> str:
    """A row for each arm that has some of the columns."""
    rows = []
    for arm in ARMS:
        of_arm = [run for run in runs if run["arm"] == arm and figures(run)]
        if of_arm:
            minutes = [cpu_minutes(of_arm)] if with_minutes else []
            rows.append([arm, *cells(columns, [figures(run) for run in of_arm]), *minutes])
    if not rows:
        return ""
    head = ["arm", *columns, *(["CPU minutes"] if with_minutes else [])]
    return table(head, [*rows, *last])


def _chance(runs: Sequence[Run]) -> list[list[str]]:
    """Of retrieval, and the ceiling of the bound."""
    for run in runs:
        if "retrieval" in run["results"]:
            results = run["results"]
            chance = cells(RECALLS, [recalls(results["retrieval"]["chance"])])
            mi = results["mi"]
            ceiling = f"at most {mi['ceiling_nats']:.2f} (log {mi['num_pairs']})"
            return [["chance", *chance, ceiling]]
    return []


def _figures(run: Run) -> dict[str, float]:
    return image_figures(run) | text_figures(run)


def _differences(runs: Sequence[Run], columns: Sequence[str]) -> str:
    """Of arms that are compared, over the seeds that both have."""
    of = by_seed(runs, _figures)
    rows = [
        _row(f"{first} - {second}", subtract(of.get(first, {}), of.get(second, {})), columns)
        for first, second in COMPARED
    ]
    return _with_head("difference, seed by seed", rows, columns)


def _lost(runs: Sequence[Run], columns: Sequence[str]) -> str:
    """What each loss loses as captions are swapped, and by how much ranking loses less."""
    of = by_seed(runs, _figures)
    rows = []
    for percent in NOISE_PERCENTS[1:]:
        lost = {
            arm: subtract(of.get(arm, {}), of.get(name_at(arm, percent), {})) for arm in PAIR_LOSSES
        }
        rows += [_row(f"{arm}, {percent} %", each, columns) for arm, each in lost.items()]
        less = subtract(lost["info_nce"], lost["ranking"])
        rows.append(_row(f"info_nce - ranking, {percent} %", less, columns))
    return _with_head("lost to swapped captions", rows, columns)


def _row(name: str, found: Mapping[int, Figures], columns: Sequence[str]) -> list[str]:
    """Mean and spread of differences, and in how many seeds the probe's is above 0."""
    if not found:
        return []
    above = sum(each["probe"] > 0 for each in found.values())
    every = list(found.values())
    return [name, *cells(columns, every, sign="+"), f"{above} of {len(every)}"]


def _with_head(name: str, rows: Sequence[list[str]], columns: Sequence[str]) -> str:
    kept = [row for row in rows if row]
    return table([name, *columns, "probe above 0"], kept) if kept else ""


def _why(runs: Sequence[Run]) -> str:
    columns = list(dict.fromkeys(column for run in runs for column in why_figures(run)))
    return f"{_LEGEND}\n\n{_arms(runs, columns, why_figures)}"
