"""The tables as words, row by row."""

import io

from rich.console import Console

from tvdim_jax.data.sources.mimic_tables import LABEL_NAMES
from tvdim_jax.experiment.tables import (
    comparison_table,
    details_table,
    notes,
    numbers_table,
    results_table,
)

RETRIEVAL = {
    "metrics": {
        "image_to_text_R@1": 0.1,
        "image_to_text_R@10": 0.2,
        "text_to_image_R@1": 0.3,
        "text_to_image_R@10": 0.4,
    },
    "chance": {
        "image_to_text_R@1": 0.01,
        "image_to_text_R@10": 0.02,
        "text_to_image_R@1": 0.03,
        "text_to_image_R@10": 0.04,
    },
    "num_images": 24,
}


def probe(value):
    return {"metrics": {"mean_auc": value}, "penalty": 1.0}


def lines_of(table):
    """The table as words, row by row."""
    console = Console(file=io.StringIO(), width=120)
    console.print(table)
    return [line.split() for line in console.file.getvalue().splitlines() if line.strip()]


def test_table_cells():
    rows = {
        "trained": {"linear_probe": probe(0.876), "retrieval": RETRIEVAL},
        "random initialisation": {"linear_probe": probe(0.5), "retrieval": RETRIEVAL},
        "raw pixels": {"linear_probe": probe(1.0)},
    }
    title, head, subhead, _, *body = lines_of(results_table(rows, "photos"))
    assert " ".join(title) == "photos: frozen features, percent"
    assert " ".join(head) == "linear probe image to text text to image"
    assert " ".join(subhead) == "features mean auc R@10 R@10"
    assert body == [
        ["trained", "87.6", "20.0", "40.0"],
        ["random", "initialisation", "50.0", "20.0", "40.0"],
        ["raw", "pixels", "100.0", "-", "-"],
        ["chance", "-", "2.0", "4.0"],
    ]


def test_table_without_retrieval_has_no_chance():
    rows = {"trained": {"knn": {"metrics": {"accuracy": 0.25}}}}
    assert lines_of(results_table(rows, "scenes"))[-1] == ["trained", "25.0"]


def findings(value, **rest):
    details = {"global": {"Edema": value, "Fracture": None, "mean": value}}
    return {"metrics": {"mean_auc": value}, "details": details, **rest}


def test_details_are_a_table_of_their_own():
    counts = {name: {"positive": 3, "negative": 12, "masked": 9} for name in ("Edema", "Fracture")}
    note = "uncertain labels masked"
    recalls = {"metrics": {"R@1": 0.25}, "details": {"sum": {"R@1": 0.25}}, "chance": {"R@1": 0.1}}
    rows = {
        "trained": {
            "knn": probe(0.9),
            "findings": findings(0.75, counts=counts, note=note),
            "retrieval": recalls,
        },
        "random initialisation": {"findings": findings(0.5)},
        "pixels + gradients": {"knn": probe(0.4), "findings": findings(0.625)},
    }
    lines = lines_of(details_table(rows, "photos"))
    assert " ".join(lines[0]) == "photos: in detail, percent"
    assert [line for line in lines if line[0] in {"findings,", "Edema", "Fracture", "mean"}] == [
        ["findings,", "global"],
        ["Edema", "75.0", "50.0", "62.5", "3/12"],
        ["Fracture", "-", "-", "-", "3/12"],
        ["mean", "75.0", "50.0", "62.5"],
    ]
    assert lines[-4:] == [
        ["retrieval,", "sum"],
        ["R@1", "25.0", "-", "-"],
        ["retrieval,", "chance"],
        ["R@1", "10.0"],
    ]
    heads = " ".join(" ".join(line) for line in lines[1:5])
    assert "un-" in heads
    assert "grad." in heads
    assert list(notes(rows["trained"])) == ["findings: uncertain labels masked"]
    assert len(lines_of(results_table(rows, "photos"))) == 4 + 3  # knn alone
    assert "findings" not in str(lines_of(results_table(rows, "photos")))


def test_tables_of_nothing():
    assert results_table({"trained": {"findings": findings(0.5)}}, "x") is None
    assert details_table({"trained": {"knn": probe(0.5)}}, "x") is None


FEATURES = ("trained", "random initialisation", "raw pixels", "pixels + gradients")


def narrow(table):
    """The table in a terminal of 80 columns."""
    console = Console(file=io.StringIO(), width=80)
    console.print(table)
    text = console.file.getvalue()
    assert "…" not in text
    return text


def test_the_details_of_all_features_fit_into_80_columns():
    counts = {name: {"positive": 1000, "negative": 12000, "masked": 2000} for name in LABEL_NAMES}
    result = findings(0.75, counts=counts) | {"details": {"global": dict.fromkeys(LABEL_NAMES, 1)}}
    lines = narrow(details_table({each: {"findings": result} for each in FEATURES}, "x")).split(
        "\n"
    )
    assert lines[2].split() == ["un-", "raw", "pixels", "+"]
    assert lines[3].split() == ["trained", "trained", "pixels", "grad.", "pos/neg"]
    for name in LABEL_NAMES:
        (line,) = (line for line in lines if line.strip().startswith(f"{name} "))
        assert line.split()[-5:] == [*["100.0"] * 4, "1000/12000"]


def test_many_tasks_fit_into_80_columns():
    both = {"metrics": {"mean_auc": 0.5, "mAP": 0.25}}
    own = {"linear_probe": both, "knn": probe(0.5), "retrieval": RETRIEVAL}
    text = narrow(results_table(dict.fromkeys(FEATURES, own), "photos"))
    assert {"linear", "probe", "mAP", "knn", "R@10"} <= set(text.split())


def test_differences_of_runs_with_long_names_fit_into_80_columns():
    each = {"first": 0.8, "second": 0.7, "difference": -0.1, "low": -0.125, "high": 0.2}
    found = {"findings": {"local_mean": dict.fromkeys(LABEL_NAMES, each)}}
    names = "mimic_cxr_lmi_local_seed_0", "mimic_cxr_lmi_global_only_seed_0"
    lines = narrow(comparison_table(found, names)).split("\n")
    (line,) = (line for line in lines if "Enlarged" in line)
    assert line.split()[2:] == ["80.0", "70.0", "-10.0", "-12.5", "to", "+20.0"]
    rule = next(place for place, line in enumerate(lines) if "──" in line)
    blank = max(place for place in range(rule) if not lines[place].strip())
    heads = "".join(lines[blank:rule]).replace(" ", "")
    assert sorted(heads) == sorted("".join([*names, "difference", "interval"]))


def test_differences():
    each = {"first": 0.8, "second": 0.7, "difference": 0.1, "low": -0.025, "high": 0.2}
    found = {"findings": {"local_mean": {"mean": each}}}
    title, head, _, section, row = lines_of(comparison_table(found, ("a", "b")))
    assert " ".join(title) == "a against b, percent; paired bootstrap, 95 % interval"
    assert head == ["a", "b", "difference", "interval"]
    assert section == ["findings,", "local", "mean"]
    assert row == ["mean", "80.0", "70.0", "+10.0", "-2.5", "to", "+20.0"]


def test_numbers_that_are_no_shares_are_a_table_of_their_own():
    def result(nats):
        part = {"InfoNCE": [nats, 1.0, None], "image_effective_rank": 7.125}
        return {"metrics": {"x": nats}, "numbers": {"nats, 95 % interval": part}}

    rows = {"trained": {"mi": result(2.5)}, "untrained": {"mi": result(None)}, "pixels": {}}
    assert results_table(rows, "photos") is None
    title, head, _, *body = lines_of(numbers_table(rows, "photos"))
    assert title == ["photos:", "numbers"]
    assert head == ["trained", "untrained"]
    assert [" ".join(line) for line in body] == [
        "mi, nats, 95 % interval",
        "InfoNCE 2.50 (1.00 to -) - (1.00 to -)",
        "image effective rank 7.12 7.12",
    ]
    assert numbers_table({"trained": {"knn": probe(0.5)}}, "x") is None
