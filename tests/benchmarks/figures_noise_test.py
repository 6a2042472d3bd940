"""The figure of swapped captions in the docs."""

import pytest

from benchmarks.studies.records import write_record
from docs import figures_noise


def write_run(folder, arm, seed, probe, recall=None):
    ways = ("image_to_text", "text_to_image")
    results = {"probe": {"value": probe}, "knn": {"value": 0.5}, "transfer": {}}
    if recall is not None:
        results["mi"] = {"nats": 0.1}
        results["retrieval"] = {
            "metrics": {f"{w}_R@{k}": recall + n for n, w in enumerate(ways) for k in (1, 5, 10)},
            "chance": {f"{w}_R@{k}": k / 1000 for w in ways for k in (1, 5, 10)},
        }
    rest = {"num_test": 50, "num_steps": 1200, "batch_size": 32, "results": results}
    write_record(folder / f"{arm}_{seed}.json", {"arm": arm, "seed": seed, **rest})


def test_the_panels_are_those_of_the_records(tmp_path, monkeypatch):
    for seed in (0, 1):
        write_run(tmp_path, "amdim", seed, 0.75 + seed / 10)
        write_run(tmp_path, "ranking", seed, 0.5 + seed / 4, 0.25)
    write_run(tmp_path, "ranking_noise40", 0, 0.625, 0.125)
    write_run(tmp_path, "info_nce_noise60", 1, 0.5, 0.5)
    drawn = []
    monkeypatch.setattr(
        figures_noise, "noise_figure", lambda panels, title: drawn.append((panels, title))
    )
    monkeypatch.setattr(figures_noise, "write_both_themes", lambda draw, out: draw())
    figures_noise.main(str(tmp_path), str(tmp_path / "noise.png"))
    [((probe, to_text, to_image), title)] = drawn
    assert title.startswith("seeds 0, 1; 50 test images, 1,200 updates of 32 images")
    assert probe.curves["ranking"] == {0: [50, 75], 20: [], 40: [62.5], 60: []}
    assert probe.lines == {"AMDIM": pytest.approx(80)}
    assert to_text.curves["ranking"] == {0: [25, 25], 20: [], 40: [12.5], 60: []}
    assert to_image.curves["InfoNCE"] == {0: [], 20: [], 40: [], 60: [150]}
    assert to_image.label == "text to image R@10, %"
    assert to_text.lines == to_image.lines == {"chance": 1.0}


def test_a_folder_without_records_is_an_error(tmp_path):
    with pytest.raises(SystemExit, match=r"a folder without records, wanted one of claims_tvdim"):
        figures_noise.main(str(tmp_path), "unused.png")
