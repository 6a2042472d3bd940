import json
import math
import re
from pathlib import Path

import jax
import numpy as np
import pytest
from PIL import Image

from benchmarks.studies.tables import write_report
from benchmarks.tvdim_claims import arms, pairs, sets, tuning
from benchmarks.tvdim_claims.report import report
from tvdim_jax.config import flat_fields
from tvdim_jax.data.errors import DataError
from tvdim_jax.data.sources.captions import CaptionsFolder
from tvdim_jax.experiment.model import make_model


def write_rows(folder, rows, file="captions.jsonl"):
    (folder / "images").mkdir(parents=True, exist_ok=True)
    for row in rows:
        Image.new("RGB", (8, 8)).save(folder / row["image"])
    (folder / file).write_text("\n".join(map(json.dumps, rows)) + "\n")


def names(source):
    return {source.example_id(row) for row in range(len(source))}


def test_the_tuning_sees_no_test_image(tmp_path):
    rows = [{"image": f"images/{n}.png", "captions": ["x"], "labels": []} for n in range(200)]
    write_rows(tmp_path, rows)
    study = sets.open_splits("captions", str(tmp_path))
    tuned = sets.open_splits("tuning", str(tmp_path))
    assert names(study.test) == names(CaptionsFolder(tmp_path, "validation", 0.1))
    assert names(tuned.train) | names(tuned.test) == names(study.train)
    assert not names(tuned.train) & names(tuned.test)
    assert 8 < len(tuned.test) < 35


def test_products_of_one_title_stay_together_and_rare_types_have_no_label(tmp_path, monkeypatch):
    monkeypatch.setattr(sets, "MIN_PER_CLASS", 40)
    rows = [
        {
            "image": f"images/{n}.png",
            "captions": [f"Title {n // 2}" if n % 2 else f"title {n // 2}"],
            "labels": ["other"],
            "articleType": "Hat" if n < 39 else ["Shoe", "Sock"][n % 2],
        }
        for n in range(200)
    ]
    write_rows(tmp_path, rows)
    splits = sets.open_splits("products", str(tmp_path))
    titles = [{part.captions(row)[0].lower() for row in range(len(part))} for part in splits]
    assert not titles[0] & titles[1]
    assert len(titles[0] | titles[1]) == 100
    assert 10 < len(splits.test) < 75
    labels = [part.labels(row) for part in splits for row in range(len(part))]
    assert labels.count([]) == 39
    assert {label for row in labels for label in row} == {"Shoe", "Sock"}


def test_the_first_label_elsewhere_counts(tmp_path):
    rows = [{"image": f"images/{n}.png", "captions": [], "labels": ["a", "b"]} for n in range(40)]
    write_rows(tmp_path / "fruit", rows, "labels.jsonl")
    (tmp_path / "empty").mkdir()
    found = sets.transfer_sets(tmp_path)
    assert list(found) == ["fruit"]
    assert len(found["fruit"].train) + len(found["fruit"].test) == 40
    assert found["fruit"].test.labels(0) == ["a"]
    with pytest.raises(DataError, match="empty, wanted a folder with folders that have a labels"):
        sets.transfer_sets(tmp_path / "empty")


RECIPE = tuning.Recipe(3e-3, 0.1)


def config_of(arm, recipe=RECIPE, seed=1):
    return arms.make_config("cpu", arm, seed, recipe=recipe, num_steps=None, path="")


def test_arms_differ_in_what_their_names_say_and_in_nothing_else():
    base = flat_fields(config_of("ranking"))
    named = {
        **{arm: {"objective.name": "amdim"} for arm in ("pixels", "random", "amdim")},
        **{loss: {"objective.pair_loss": loss} for loss in arms.PAIR_LOSSES[1:]},
        "ranking": {},
        "text_only": {"objective.image_loss": False},
        "hardest": {"objective.negatives": "hardest"},
        **{f"margin{margin}": {"objective.margin": margin} for margin in (0.1, 0.4)},
        "scales1": {"objective.scales": (1,)},
        "scales1,5": {"objective.scales": (1, 5)},
        **{f"weight{w:g}": {"objective.text_weight": w} for w in (0.3, 3.0)},
        "info_nce_weight0.3": {"objective.pair_loss": "info_nce", "objective.text_weight": 0.3},
        "info_nce_temperature0.2": {
            "objective.pair_loss": "info_nce",
            "objective.temperature": 0.2,
        },
    }
    seen = set()
    for arm in (*arms.MAIN, *arms.ABLATIONS):
        name, _, percent = arm.partition("_noise")
        fields = named[name] | ({"data.noise_rate": int(percent) / 100} if percent else {})
        found = flat_fields(config_of(arm))
        assert {k: v for k, v in found.items() if v != base[k]} == fields, arm
        seen.add(name)
    assert seen == set(named)
    assert (len(arms.MAIN), len(arms.ABLATIONS)) == (17, 18)
    assert base["optimizer.learning_rate"] == 3e-3
    assert base["objective.temperature"] == 0.1
    assert base["seed"] == base["data.noise_seed"] == 1
    assert (base["objective.margin"], base["objective.text_weight"]) == (0.2, 1.0)
    assert (base["objective.negatives"], base["objective.scales"]) == ("all", (1, 5, 7))


def test_the_tuning_differs_in_its_rates_and_temperatures_alone():
    base = flat_fields(config_of("ranking", None, tuning.SEED))
    for arm, fields in tuning.TUNING_ARMS.items():
        found = flat_fields(config_of(arm, None, tuning.SEED))
        assert {k for k in found if found[k] != base[k]} <= set(fields)
        assert {k: found[k] for k in fields} == dict(fields)
        assert found["objective.pair_loss"] == "info_nce" or found["objective.name"] == "amdim"


def test_arms_with_and_without_text_start_from_the_same_image_encoder(monkeypatch):
    tiny = arms.SIZES["cpu"] | {"model.image": "amdim_tiny", "model.text": "text_tiny"}
    monkeypatch.setattr(arms, "SIZES", {"cpu": tiny})
    starts = []
    for arm, vocabulary in (("amdim", 0), ("ranking", 50)):
        params, _ = make_model(config_of(arm), vocabulary).init(jax.random.key(3))
        starts.append(params["image"])
    jax.tree.map(np.testing.assert_array_equal, *starts)


def test_the_recipe_is_the_best_for_both_arms_together():
    scores = dict.fromkeys(tuning.TUNING_ARMS, 0.5)
    scores["amdim_rate0.001"] = 0.7
    scores["info_nce_rate0.002_temperature0.2"] = 0.6
    scores["info_nce_rate0.004_temperature0.07"] = 0.65
    scores["amdim_rate0.004"] = 0.6
    runs = [{"arm": arm, "results": {"probe": {"value": value}}} for arm, value in scores.items()]
    assert tuning.choose_recipe(runs) == tuning.Recipe(4e-3, 0.07)
    with pytest.raises(ValueError, match=r"no records of amdim_rate0.0005; run with .* --only tun"):
        tuning.choose_recipe(runs[1:])


def some_pairs(num_pairs=20, width=6):
    rng = np.random.default_rng(0)
    image = rng.normal(size=(num_pairs, width))
    text = image + rng.normal(size=(num_pairs, width))
    wording = [f"text {n}" for n in range(num_pairs)]
    wording[3], wording[4] = "Same", "same"
    return pairs.make_pairs(image, text, wording)


def test_the_bound_of_one_half_has_the_temperature_of_the_other():
    found = pairs.held_out_nats(table := some_pairs())

    def bound(start, temperature):
        total = 0
        for i in range(start, start + 10):
            for turned in (False, True):
                wrong = 0
                count = 1
                for j in range(start, start + 10):
                    if table.text_id[i] != table.text_id[j]:
                        score = table.cosines[j, i] if turned else table.cosines[i, j]
                        wrong += math.exp(score / temperature)
                        count += 1
                right = math.exp(table.cosines[i, i] / temperature)
                total += math.log(count * right / (right + wrong)) / 20
        return total

    best = [max(pairs.TEMPERATURES, key=lambda t: bound(start, t)) for start in (0, 10)]
    assert found["temperatures"] == best
    assert found["nats"] == pytest.approx((bound(0, best[1]) + bound(10, best[0])) / 2, rel=1e-4)
    assert found["num_pairs"] == 10
    assert found["ceiling_nats"] == pytest.approx(math.log(10))


def test_the_summary_equals_a_loop():
    table = some_pairs()
    found = pairs.summary(table, 0.2)
    right, wrong, hardest, pulled = [], [], [], []
    for i in range(20):
        right.append(table.cosines[i, i])
        others = [table.cosines[i, j] for j in range(20) if table.text_id[i] != table.text_id[j]]
        wrong += others
        hardest.append(max(others))
        pulled += [table.cosines[i, i] < other + 0.2 for other in others]
    assert len(wrong) == 20 * 19 - 2
    for name, values in (
        *(("positive_mean", right), ("negative_mean", wrong)),
        *(("hardest_mean", hardest), ("active_share", pulled)),
    ):
        assert found[name] == pytest.approx(np.mean(values), abs=1e-6), name
    assert found["negative_std"] == pytest.approx(np.std(wrong), rel=1e-5)


def test_directions_in_use():
    rng = np.random.default_rng(0)
    assert pairs.participation_ratio(rng.normal(size=(5000, 4))) == pytest.approx(4, abs=0.05)
    line = rng.normal(size=(50, 1)) * np.ones((1, 4))
    assert pairs.participation_ratio(line + 7) == pytest.approx(1)
    assert pairs.participation_ratio(np.ones((5, 3))) == 0


def run_of(arm, seed, probe, recall=None, **more):
    results = {
        "classes": ["dog", "snow"],
        "probe": {"metric": "mean_auc", "value": probe, "num_train": 900, "num_test": 100},
        "knn": {"value": probe / 2},
        "transfer": {"fruit": {"probe": {"value": 0.4}}},
        "participation_ratio": 3.25,
    }
    last = {"train/grad_norm": 2.0}
    if recall is not None:
        ways = [f"{way}_R@{k}" for way in ("image_to_text", "text_to_image") for k in (1, 5, 10)]
        results["retrieval"] = {
            "metrics": dict.fromkeys(ways, recall),
            "chance": dict.fromkeys(ways, 0.01),
        }
        results["mi"] = {"nats": 10 * recall, "num_pairs": 50, "ceiling_nats": math.log(50)}
        of = {"positive_mean": 0.5, "hardest_mean": 0.75, "active_share": 0.25}
        results["pairs"] = {"train": of, "test": of, "swapped": {"given": 0.125, "own": 0.375}}
        last["train/loss_over_log_n"] = 0.5
    rest = {"device": "abacus", "num_test": 100, "train_cpu_seconds": 90}
    rest |= {"num_steps": 1200, "batch_size": 32, "last_metrics": last}
    return {"size": "cpu", "set": "captions", "arm": arm, "seed": seed, "results": results, **rest}


def test_the_tables(tmp_path):
    runs = [
        run_of("amdim", 0, 0.7),
        run_of("amdim", 1, 0.8),
        run_of("ranking", 0, 0.8, 0.3),
        run_of("ranking", 1, 0.78, 0.2),
        run_of("ranking_noise40", 0, 0.75, 0.2),
        run_of("info_nce", 0, 0.81, 0.3),
        run_of("info_nce_noise40", 0, 0.71, 0.1),
        run_of("margin0.4_noise40", 0, 0.74, 0.2),
        run_of("info_nce_weight0.3_noise40", 0, 0.73, 0.1),
    ]
    page = tmp_path / "page.md"
    page.write_text(
        "before\n<!-- claims_tvdim: begin -->\nold\n<!-- claims_tvdim: end -->\nafter\n"
    )
    write_report(page, "claims_tvdim", runs, report(runs))
    lines = page.read_text().splitlines()
    assert lines[0] == "before"
    assert lines[-1] == "after"
    assert "old" not in lines
    assert "1,200 updates of 32 images, seeds 0, 1, 100 test images, abacus" in lines[2]
    assert (
        "Probe and kNN: mean AUC over 2 classes (dog, snow), 900 images to fit them and 100 to "
        "score them. Probes of other sets: accuracy."
    ) in lines
    for row in (
        "| arm | probe | kNN | fruit probe | CPU minutes |",
        "| amdim | 75.0 ± 7.1 | 37.5 ± 3.5 | 40.0 ± 0.0 | 1.5 |",
        "| ranking_noise40 | 75.0 | 37.5 | 40.0 | 1.5 |",
        "| info_nce | 30.0 | 30.0 | 30.0 | 30.0 | 30.0 | 30.0 | 3.00 |",
        "| chance | 1.0 | 1.0 | 1.0 | 1.0 | 1.0 | 1.0 | at most 3.91 (log 50) |",
        "| ranking - amdim | +4.0 ± 8.5 | +2.0 ± 4.2 | +0.0 ± 0.0 | - | - | - | 1 of 2 |",
        "| ranking_noise40 - info_nce_noise40 | +4.0 | +2.0 | +0.0 | +10.0 | +10.0 | +1.00 |",
        "| info_nce - amdim | +11.0 | +5.5 | +0.0 | - | - | - | 1 of 1 |",
        "| info_nce_weight0.3_noise40 - info_nce_noise40 | +2.0 | +1.0 | +0.0 | +0.0 | +0.0 |",
        "| ranking_noise40 - info_nce_weight0.3_noise40 | +2.0 | +1.0 | +0.0 | +10.0 | +10.0 |",
        "| margin0.4_noise40 - ranking_noise40 | -1.0 | -0.5 | +0.0 | +0.0 | +0.0 | +0.00 |",
        "| ranking, 40 % | +5.0 | +2.5 | +0.0 | +10.0 | +10.0 | +1.00 | 1 of 1 |",
        "| info_nce - ranking, 40 % | +5.0 | +2.5 | +0.0 | +10.0 | +10.0 | +1.00 | 1 of 1 |",
        "| ranking_noise40 | 3.2 | 2.00 | 0.50 | 0.50 | 0.75 | 25.0 | 25.0 | 0.50 | 0.12 | 0.38 |",
    ):
        assert any(line.startswith(row) for line in lines), row


def test_the_table_of_the_tuning_says_what_it_chose():
    runs = [run_of(arm, tuning.SEED, 0.6) | {"set": "tuning"} for arm in tuning.TUNING_ARMS]
    assert "Chosen: learning rate 0.0005, InfoNCE's temperature 0.07." in report(runs)
    assert "Chosen" not in report(runs[:-1])
    assert "| amdim_rate0.002 | 60.0 |" in report(runs)


def test_the_pages_have_the_markers_and_name_fields_that_are_there():
    docs = Path(__file__).parents[2] / "docs"
    results = (docs / "results.md").read_text()
    assert results.count("<!-- claims_tvdim: begin -->") == 1
    assert results.count("<!-- claims_tvdim: end -->") == 1
    fields = re.findall(r"`(objective\.\w+)", (docs / "tvdim.md").read_text())
    assert len(set(fields)) == 7
    for field in fields:
        assert field.split(".")[1] in config_of("ranking").objective, field
