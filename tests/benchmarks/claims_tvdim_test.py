import json

import pytest

from benchmarks import claims_tvdim
from benchmarks.studies.records import changed_fields, write_record
from benchmarks.tvdim_claims import arms, label_scores, sets, tuning
from tests.reference.tiny_run import write_captions_folder

TINY = {
    "data.image_size": 40,
    "data.num_threads": 1,
    "model.image": "amdim_tiny",
    "model.image_size": 32,
    "model.text": "text_tiny",
    "objective.scales": (7,),  # fewer to compile; the objective's own tests have all
    "tokenizer.vocab_size": 120,
    "train.batch_size": 8,
    "train.num_steps": 2,
    "train.log_every": 1,
    "eval.batch_size": 50,
}
NUM_IMAGES = 160


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Photographs that also are products and a labelled set."""
    root = tmp_path_factory.mktemp("sets")
    photographs = write_captions_folder(root / "photographs", NUM_IMAGES)
    lines = (photographs / "captions.jsonl").read_text().splitlines()
    rows = []
    for number, line in enumerate(lines):
        row = json.loads(line)
        kind = "rare" if number < 3 else ["shoe", "sock"]["red" in row["labels"]]
        rows.append(row | {"labels": [kind, "thing"], "articleType": kind, "ambiguous": []})
    text = "\n".join(map(json.dumps, rows)) + "\n"
    (photographs / "labels.jsonl").write_text(text)
    (root / "products").mkdir()
    (root / "products" / "captions.jsonl").write_text(text)
    (root / "products" / "images").mkdir()
    for image in (photographs / "images").iterdir():
        image.rename(root / "products" / "images" / image.name)
    for image in (root / "products" / "images").iterdir():
        (photographs / "images" / image.name).hardlink_to(image)
    return root


def words(folder, out, *more):
    places = [
        f"--{name}={folder / where}"
        for name, where in (("captions", "photographs"), ("products", "products"), ("transfer", ""))
    ]
    return [*places, "--out", str(out), *more]


@pytest.fixture(scope="module")
def study(folder, tmp_path_factory):
    """Folder of the records of some arms; the tuning is made up."""
    out = tmp_path_factory.mktemp("study")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(arms, "SIZES", {"cpu": TINY})
        patch.setattr(sets, "MIN_PER_CLASS", 20)
        patch.setattr(label_scores, "SHOTS", (1, 5))
        patch.setattr(label_scores, "NUM_DRAWS", 2)
        for arm in tuning.TUNING_ARMS:
            config = arms.make_config(
                "cpu", arm, tuning.SEED, recipe=None, num_steps=None, path=str(folder)
            )
            write_record(
                out / "cpu" / "tuning" / f"{arm}_{tuning.SEED}.json", tuned(arm, config=config)
            )
        only = ["--only", "captions/text_only_noise40,products/pixels"]
        claims_tvdim.main(words(folder, out, "--seeds", "1", *only))
        yield out


def tuned(arm, value=0.5, config=None):
    rest = {"size": "cpu", "set": "tuning", "seed": tuning.SEED, "device": "abacus"}
    rest |= {"num_steps": 2, "batch_size": 8, "num_test": 9}
    if config is not None:
        rest["fields"] = changed_fields(config)
    results = {"probe": {"value": value}, "knn": {"value": value}, "transfer": {}}
    return {"arm": arm, "results": results, **rest}


def read(study, name):
    return json.loads((study / "cpu" / f"{name}.json").read_text())


def test_a_record_says_what_was_done_and_found(study):
    record = read(study, "captions/text_only_noise40_0")
    assert [record[key] for key in ("size", "set", "arm", "seed")] == [
        *("cpu", "captions", "text_only_noise40", 0)
    ]
    assert record["fields"]["data.noise_rate"] == 0.4
    assert record["fields"]["optimizer.learning_rate"] == tuning.LEARNING_RATES[0]
    assert record["num_train"] + record["num_test"] == NUM_IMAGES
    noise = record["noise"]
    assert noise["num_swapped"] == round(0.4 * record["num_train"])
    assert len(noise["index_blake2b"]) == 32
    assert record["last_metrics"]["train/text_loss"] > 0
    results = record["results"]
    assert results["classes"] == ["dark", "red"]
    assert results["probe"]["metric"] == "mean_auc"
    assert set(results["probe"]["class_aucs"]) == {"dark", "red"}
    assert results["knn"]["num_test"] == record["num_test"]
    assert results["retrieval"]["num_texts"] == 2 * record["num_test"]
    assert results["mi"]["num_pairs"] == record["num_test"] // 2
    assert set(results["pairs"]) == {"test", "train", "swapped"}
    assert list(results["transfer"]) == ["photographs"]
    elsewhere = results["transfer"]["photographs"]
    assert elsewhere["classes"] == ["rare", "shoe", "sock"]
    assert elsewhere["probe"]["metric"] == elsewhere["knn"]["metric"] == "accuracy"


def test_products_and_arms_without_text_or_training(study):
    pixels = read(study, "products/pixels_0")
    results = pixels["results"]
    assert results["probe"]["num_features"] == 896
    assert pixels["noise"] == {"rate": 0.0}
    assert pixels["last_metrics"] == {}
    assert "retrieval" not in results
    assert results["classes"] == ["shoe", "sock"]
    assert list(results["few_shot"]) == ["1", "5"]
    assert results["probe"]["metric"] == results["knn"]["metric"] == "class_mean_accuracy"
    assert results["probe"]["penalties"][-1] == 1e-3
    assert results["probe"]["num_train"] + results["probe"]["num_test"] == NUM_IMAGES - 3


def test_a_second_call_goes_on_with_what_is_missing(study, folder, capsys, monkeypatch):
    ran = []
    record = read(study, "products/pixels_0")
    monkeypatch.setattr(
        claims_tvdim, "run", lambda job, args, recipe: ran.append(str(job)) or record
    )
    only = ["--only", "tuning,products/pixels,captions/amdim,captions/hardest", "--seeds", "2"]
    claims_tvdim.main(words(folder, study, *only))
    assert ran == [
        *("captions/amdim seed 0", "captions/amdim seed 1"),
        *("captions/hardest seed 0", "captions/hardest_noise40 seed 0"),
        "products/pixels seed 1",
        *("captions/hardest seed 1", "captions/hardest_noise40 seed 1"),
    ]
    printed = capsys.readouterr().out
    assert "12 runs, 12 of them done before" in printed
    assert "8 runs, 1 of them done before" in printed
    assert "recipe: Recipe(learning_rate=0.0005, temperature=0.07)" in printed
    for name in ran:
        path, seed = name.split(" seed ")
        (study / "cpu" / f"{path}_{seed}.json").unlink()


def test_wrong_words_and_records_of_other_settings_are_errors(study, folder, capsys, tmp_path):
    pixels = ["--only", "products/pixels", "--seeds", "1"]
    write_captions_folder(tmp_path / "sets" / "fruit", 40)
    (tmp_path / "sets" / "fruit" / "captions.jsonl").rename(
        tmp_path / "sets" / "fruit" / "labels.jsonl"
    )
    for arguments, message in (
        (
            words(folder, study, *pixels, "--products", "/nowhere"),
            "got '/nowhere', wanted a folder",
        ),
        (words(folder, study, *pixels, "--transfer", "/nowhere"), "got /nowhere, wanted a folder"),
        (
            words(folder, study, *pixels, "--transfer", str(tmp_path / "sets")),
            f"got fruit, but {study}/cpu/products/pixels_0.json was scored on photographs; move it",
        ),
        (words(folder, study, *pixels, "--steps", "3"), "other values of train.num_steps: move"),
        (words(folder, study, "--only", "rankings"), "such as captions/ranking_noise40 seed 0"),
        (["--out", str(study)], "--captions DIR or --products DIR says where"),
        (words(folder, tmp_path, *pixels), "the recipe is not tuned yet: got no records of amdim"),
    ):
        with pytest.raises(SystemExit):
            claims_tvdim.main(arguments)
        assert message in capsys.readouterr().err
