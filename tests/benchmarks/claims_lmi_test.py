import json
import re
from pathlib import Path

import pytest

from benchmarks import claims_lmi
from benchmarks.lmi_claims import arms, report
from benchmarks.lmi_claims.sets import SceneSentences
from benchmarks.studies.tables import write_report

TINY = {
    "data.num_examples": 64,
    "tokenizer.vocab_size": 120,
    "model.image": "amdim_tiny",
    "model.text": "text_tiny",
    "model.critic_hidden": (8, 4),
    "train.batch_size": 8,
    "train.log_every": 1,
    "eval.num_train_examples": 40,
    "eval.num_test_examples": 24,
}
BEGIN, END = "<!-- claims_lmi: begin -->", "<!-- claims_lmi: end -->"
WORDS = ["--only", "local_dot,image_only", "--seeds", "1", "--steps", "2"]


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """Folder of the records of two arms, and the settings they were made with."""
    folder = tmp_path_factory.mktemp("study")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(arms, "SIZES", {"scenes": {**arms.SIZES["scenes"], **TINY}})
        # Its update takes long to compile.
        untrained = arms.ARMS["image_only"]._replace(is_trained=False)
        patch.setitem(arms.ARMS, "image_only", untrained)
        claims_lmi.main([*WORDS, "--out", str(folder)])
        yield folder


def test_a_record_says_what_was_done_and_found(study):
    record = json.loads((study / "scenes" / "local_dot_0.json").read_text())
    assert (record["set"], record["arm"], record["seed"]) == ("scenes", "local_dot", 0)
    assert (record["num_steps"], record["batch_size"], record["num_test"]) == (2, 8, 24)
    assert record["fields"]["objective.name"] == "lmi"
    assert record["train_cpu_seconds"] > 0
    metrics = record["last_metrics"]
    assert metrics["train/loss"] == pytest.approx(metrics["train/local_loss"])
    results = record["results"]
    assert set(results["retrieval"]) == {"local", "chance"}
    assert results["retrieval"]["chance"]["text_to_image_R@10"] == pytest.approx(10 / 24)
    for name in ("global", "regions"):
        assert 0 <= results["probe"][name]["accuracy"] <= 1
    assert 0.05 < results["pointing"]["chance"] < 0.3
    assert 0 <= results["pointing"]["hits"] <= 1
    image_only = json.loads((study / "scenes" / "image_only_0.json").read_text())
    assert list(image_only["results"]) == ["probe"]


def test_a_second_call_goes_on_with_what_is_missing(study, capsys, monkeypatch):
    done = sorted(study.rglob("*.json"))
    before = [path.read_text() for path in done]
    trained = []
    monkeypatch.setattr(
        claims_lmi, "run", lambda job, args: trained.append(str(job)) or json.loads(before[0])
    )
    words = ["--only", "image_only,local_dot", "--seeds", "2", "--steps", "2"]
    claims_lmi.main([*words, "--out", str(study)])
    assert trained == ["scenes/image_only seed 1", "scenes/local_dot seed 1"]
    assert [path.read_text() for path in done] == before
    printed = capsys.readouterr().out
    assert "4 runs, 2 of them done before" in printed
    assert "seed 1: done; about 0 min left for the other 1" in printed
    for path in set(study.rglob("*_1.json")):
        path.unlink()


def test_records_of_other_settings_and_wrong_words_are_errors(study, capsys):
    for words, message in (
        ([*WORDS[:-1], "3"], "made with other values of train.num_steps: move it away"),
        (["--only", "captions"], "photographs need --captions DIR"),
        (["--report", str(study / "page.md")], "wanted a page with the lines <!-- claims_lmi"),
    ):
        (study / "page.md").write_text("# A page\n")
        with pytest.raises(SystemExit):
            claims_lmi.main([*words, "--out", str(study)])
        assert message in capsys.readouterr().err


def run_of(arm, seed, probe, recall=None, hits=None):
    results = {"probe": {"global": {"accuracy": probe}, "regions": {"accuracy": probe / 2}}}
    if recall is not None:
        recalls = {"image_to_text_R@10": recall, "text_to_image_R@10": recall / 2}
        results["retrieval"] = {"global": recalls, "chance": dict.fromkeys(recalls, 0.01)}
    if hits is not None:
        results["retrieval"]["sum"] = dict.fromkeys(recalls, 2 * recall)
        results["pointing"] = {"hits": hits, "swapped": 0.1, "chance": 0.15, "centre": 0.46}
    rest = {"device": "abacus", "num_test": 1000, "train_cpu_seconds": 90}
    rest |= {"num_steps": 800, "batch_size": 64}
    return {"set": "scenes", "arm": arm, "seed": seed, "results": results, **rest}


def test_the_tables(tmp_path):
    runs = [
        run_of("image_only", 0, 0.9),
        run_of("global_info_nce", 0, 0.8, 0.3),
        run_of("global_info_nce", 1, 0.6, 0.2),
        run_of("local_global_info_nce", 0, 0.9, 0.2, 0.7),
        run_of("local_global_info_nce", 1, 0.8, 0.15, 0.8),
    ]
    page = tmp_path / "page.md"
    page.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    write_report(page, "claims_lmi", runs, report.report(runs))
    lines = page.read_text().splitlines()
    assert lines[:2] == ["before", BEGIN]
    assert lines[-2:] == [END, "after"]
    assert "old" not in lines
    assert "800 updates of 64 images, seeds 0, 1, 1,000 test images, abacus" in lines[2]
    assert "| image_only | 90.0 | 45.0 | - | - | - | - | 1.5 |" in lines
    assert (
        "| global_info_nce | 70.0 ± 14.1 | 35.0 ± 7.1 | 25.0 ± 7.1 | 12.5 ± 3.5 | - | - | 1.5 |"
    ) in lines
    assert (
        "| local_global_info_nce | 85.0 ± 7.1 | 42.5 ± 3.5 | 35.0 ± 7.1 | 35.0 ± 7.1 | 75.0 ± 7.1 "
        "| 10.0 ± 0.0 | 1.5 |"
    ) in lines
    assert "Pointing in units of chance, the worst seed: local_global_info_nce 4.7." in lines
    assert "| chance | - | - | 1.0 | 1.0 | 15.0 | - | - |" in lines
    assert "| always the centre | - | - | - | - | 46.0 | - | - |" in lines
    assert (
        "| local_global_info_nce - global_info_nce | +15.0 ± 7.1 | +7.5 ± 3.5 | +10.0 ± 0.0 "
        "| +22.5 ± 3.5 |"
    ) in lines
    write_report(page, "claims_lmi", runs, report.report(runs))
    assert page.read_text().splitlines() == lines
    with pytest.raises(ValueError, match="a folder without records"):
        write_report(page, "claims_lmi", [], "")


def test_the_sentences_of_a_scene_are_those_of_its_boxes():
    source = SceneSentences(5, seed=0, image_size=32)
    for row in range(5):
        first, second = source.boxes(row)
        assert source.captions(row) == [f"there is a {first[0]}", f"there is a {second[0]}"]


def test_the_page_has_the_markers_and_names_tests_that_are_there():
    root = Path(__file__).parents[2]
    page = (root / "docs" / "lmi.md").read_text()
    assert page.count(BEGIN) == page.count(END) == 1
    named = re.findall(r"`(tests/\S+?\.py)::(\w+)`", page)
    assert len(named) == 19
    for file, test in named:
        assert f"def {test}(" in (root / file).read_text(), test
