"""What is scored on the features of an encoder; the encoders here are tables made by hand."""

import numpy as np
import pytest

from tests.reference.tiny_run import tiny_config
from tvdim_jax.data.bad_examples import BadExamples
from tvdim_jax.data.errors import BadExample
from tvdim_jax.data.tokenizer import Tokenizer
from tvdim_jax.experiment import evaluation
from tvdim_jax.experiment.data import Splits
from tvdim_jax.experiment.evaluation import (
    Encoders,
    EvaluationError,
    evaluate,
    make_encoders,
    pixel_baselines,
    score_labels,
    score_retrieval,
)
from tvdim_jax.experiment.model import Model
from tvdim_jax.features import Features

TOKENIZER = Tokenizer(
    ["[PAD]", "[UNK]", "[CLS]", *"0123456789"], lower_case=True, add_sep=False, max_length=4
)


class Table:
    """Row i is an image of level i; captions, labels and ambiguous classes come from lists."""

    def __init__(self, size, *, labels=None, ambiguous=None, captions=None, bad=()):
        self.name = "table"
        self._labels = [[]] * size if labels is None else labels
        self._ambiguous = [[]] * size if ambiguous is None else ambiguous
        self._captions = [[]] * size if captions is None else captions
        self._size, self._bad = size, bad

    def __len__(self):
        return self._size

    def read_image(self, row, min_side=0):
        if row in self._bad:
            raise BadExample("missing file")
        return np.full((32, 32, 3), row, np.uint8)

    def captions(self, row):
        return self._captions[row]

    def labels(self, row):
        return self._labels[row]

    def ambiguous(self, row):
        return self._ambiguous[row]

    def example_id(self, row):
        return f"{row}.jpg"


def embed_level(batch):
    """Level l of the image -> the l-th column of a wheel of 40 directions."""
    assert batch["image"].shape == (16, 32, 32, 3)
    angle = batch["image"][:, 0, 0, 0] * (2 * np.pi / 40)
    return np.stack([np.cos(angle), np.sin(angle), np.ones_like(angle)], -1)


def embed_number(batch):
    """A caption "1 7" -> the direction of level 17."""
    assert batch["token_ids"].shape == (16, 4)
    digits = batch["token_ids"][:, 1:3] - 3
    angle = (10 * digits[:, 0] + digits[:, 1]) * (2 * np.pi / 40)
    return np.stack([np.cos(angle), np.sin(angle), np.ones_like(angle)], -1)


ENCODERS = Encoders(16, embed_level, embed_number)
ALL_TASKS = ("linear_probe", "knn", "retrieval")


def test_encoders_are_split_over_devices_and_compiled_once():
    """Trained and untrained parameters, and every evaluation in training, share one program."""
    traced = []

    def image(params, variables, images, *, train, key):
        traced.append(images.shape)
        assert not train
        return Features(images.mean((1, 2)) * params, {}), variables

    config, model = tiny_config(eval__batch_size=12), Model(None, image, None)
    one, two = (make_encoders(config, model, params, {}) for params in (1.0, 2.0))
    assert one.batch_size == 16  # the next multiple of 8 devices
    assert one.text is None
    batch = {"image": np.arange(16, dtype=np.uint8).repeat(32 * 32 * 3).reshape(16, 32, 32, 3)}
    rows = one.image(batch)
    assert len(rows.sharding.device_set) == 8
    np.testing.assert_allclose(two.image(batch), 2 * np.asarray(rows), rtol=1e-6)
    levels = (np.arange(16)[:, None] - [125.3, 123.0, 113.9]) / [63.0, 62.1, 66.7]
    np.testing.assert_allclose(rows, levels, rtol=1e-4)
    assert traced == [(16, 32, 32, 3)]


def halves(size):
    """One label an image: which half of the wheel it is in."""
    return [["low" if row < 20 else "high"] for row in range(size)]


def numbers(size):
    return [[f"{row // 10} {row % 10}"] for row in range(size)]


def run(splits, tasks=ALL_TASKS, encoders=ENCODERS, ledger=None, **changes):
    return evaluate(encoders, splits, TOKENIZER, tiny_config(**changes), tasks=tasks, ledger=ledger)


def test_all_tasks_and_the_tail_counts():
    """40 and 24 rows in batches of 16; perfect features score 1."""
    splits = Splits(
        Table(40, labels=halves(40)), Table(24, labels=halves(24), captions=numbers(24))
    )
    results = run(splits)
    assert list(results) == ["linear_probe", "knn", "retrieval"]
    assert results["linear_probe"]["num_train"] == results["knn"]["num_train"] == 40
    assert results["linear_probe"]["num_test"] == results["knn"]["num_test"] == 24
    assert results["linear_probe"]["metrics"] == {"accuracy": 1.0}
    assert set(results["knn"]["metrics"]) == {"accuracy"}
    retrieval = results["retrieval"]
    assert (retrieval["num_images"], retrieval["num_texts"]) == (24, 24)
    assert retrieval["metrics"]["image_to_text_R@1"] == 1.0
    assert retrieval["metrics"]["text_to_image_R@1"] == 1.0
    assert retrieval["chance"]["text_to_image_R@1"] == 1 / 24


def test_the_sizes_of_the_config_limit_the_parts():
    splits = Splits(Table(40, labels=halves(40)), Table(40, labels=halves(40)))
    result = run(splits, ["knn"], eval__num_train_examples=33, eval__num_test_examples=21)["knn"]
    assert (result["num_train"], result["num_test"], result["num_neighbors"]) == (33, 21, 20)


def test_few_rows_are_all_neighbours():
    splits = Splits(Table(6, labels=halves(6)), Table(24, labels=halves(24)))
    assert run(splits, ["knn"])["knn"]["num_neighbors"] == 6


def test_bad_images_do_not_count_and_are_listed():
    ledger = BadExamples()
    splits = Splits(
        Table(40, labels=halves(40), bad=(1,)),
        Table(24, labels=halves(24), captions=numbers(24), bad=(0, 17)),
    )
    results = run(splits, ledger=ledger)
    assert (results["knn"]["num_train"], results["knn"]["num_test"]) == (39, 22)
    assert results["retrieval"]["num_texts"] == 22
    assert results["retrieval"]["metrics"]["text_to_image_R@1"] == 1.0  # by row, not by position
    assert ledger.counts() == {"missing file": 3}


def test_without_labels_there_is_no_probe():
    captioned = Table(24, captions=numbers(24))
    assert list(run(Splits(Table(40), captioned))) == ["retrieval"]
    labelled = Splits(Table(40, labels=halves(40)), captioned)
    assert list(run(labelled)) == ["retrieval"]


def test_without_captions_or_text_encoder_there_is_no_retrieval():
    splits = Splits(Table(40, labels=halves(40)), Table(24, labels=halves(24)))
    assert list(run(splits, ["knn", "retrieval"])) == ["knn"]
    captioned = splits._replace(test=Table(24, captions=numbers(24)))
    assert run(captioned, ["retrieval"], ENCODERS._replace(text=None)) == {}
    blank = splits._replace(test=Table(24, captions=[[" "]] * 24))
    assert run(blank, ["retrieval"]) == {}


def test_nothing_wanted_reads_no_image():
    unreadable = Table(24, bad=range(24))
    assert run(Splits(unreadable, unreadable), []) == {}
    assert run(Splits(unreadable, unreadable), ["retrieval"], ENCODERS._replace(text=None)) == {}


@pytest.mark.parametrize(
    ("test", "encoders", "text"),
    [
        (Table(24, bad=range(24)), ENCODERS, "no real row to extract features from"),
        (
            Table(24, labels=halves(24)),
            ENCODERS._replace(image=lambda batch: embed_level(batch) * np.nan),
            "hold NaN or infinity",
        ),
        (Table(24, labels=[["low", "high"]] * 24), ENCODERS, "mean AUC is undefined"),
    ],
)
def test_what_cannot_be_scored_is_one_error(test, encoders, text):
    with pytest.raises(EvaluationError, match=f"cannot evaluate: .*{text}"):
        run(Splits(Table(40, labels=halves(40)), test), ["knn"], encoders)


def features_of(size):
    """Features and row numbers of the first rows of a Table."""
    angle = np.arange(size) * (2 * np.pi / 40)
    return np.stack([np.cos(angle), np.sin(angle)], -1).astype(np.float32), np.arange(size)


def score(train, test, tasks=("linear_probe", "knn")):
    splits = Splits(train, test)
    parts = features_of(len(train)), features_of(len(test))
    return score_labels(*parts, splits, tasks, seed=0)


def test_one_part_has_one_label_a_row_and_the_other_several():
    several = [[*names, "any"] if row % 2 else names for row, names in enumerate(halves(40))]
    train, test = Table(40, labels=several), Table(40, labels=halves(40))
    for parts in ((train, test), (test, train)):
        results = score(*parts)
        assert set(results["linear_probe"]["metrics"]) == {"mean_auc"}
        assert results["linear_probe"]["num_classes"] == 3  # any, high, low
        # "any" is in one part only: it has no negative or no positive in the other.
        assert results["linear_probe"]["classes_skipped"] == (0,)
        assert results["linear_probe"]["metrics"]["mean_auc"] > 0.95
        assert results["knn"]["metrics"]["mean_auc"] > 0.95


def test_a_class_that_is_only_in_the_test_part_counts_as_missed():
    labels = [["new"] if row < 4 else names for row, names in enumerate(halves(40))]
    results = score(Table(40, labels=halves(40)), Table(40, labels=labels))
    assert results["linear_probe"]["num_classes"] == 3
    assert results["linear_probe"]["metrics"]["accuracy"] <= 36 / 40
    assert results["knn"]["metrics"]["accuracy"] <= 36 / 40
    assert results["knn"]["metrics"]["accuracy"] >= 0.7


def test_ambiguous_entries_are_masked():
    """The test part calls every low image ambiguous: of "low" no entry with True is left."""
    labels = [[*names, "all"] for names in halves(40)]
    ambiguous = [["low"] if "low" in names else [] for names in labels]
    free = score(Table(40, labels=labels), Table(40, labels=labels), ["knn"])["knn"]
    masked = score(
        Table(40, labels=labels), Table(40, labels=labels, ambiguous=ambiguous), ["knn"]
    )["knn"]
    assert free["classes_skipped"] == (0,)  # all
    assert masked["classes_skipped"] == (0, 2)  # all, low


def test_only_the_tasks_asked_for():
    parts = Table(40, labels=halves(40)), Table(40, labels=halves(40))
    assert list(score(*parts, tasks=["knn"])) == ["knn"]
    assert list(score(*parts, tasks=["linear_probe", "retrieval"])) == ["linear_probe"]
    record = score(*parts, tasks=["knn"])["knn"]
    assert "metric" not in record
    assert "value" not in record


def test_retrieval_by_hand():
    """Three images, five texts; the rows are those of the source, the second image was bad.

    Image 7 has no text. Scores: text 0 finds image 0 first; text 1, of image 0, is nearest to
    image 5; texts 2 and 3 find image 5; text 4 of image 5 is opposite to all.
    """
    image_x = np.array([[1, 0], [0, 1], [-1, 0.1]], np.float32)
    text_x = np.array([[1, 0.1], [0.1, 1], [0, 1], [0.2, 2], [1, -1]], np.float32)
    result = score_retrieval(
        image_x, np.array([0, 5, 7]), text_x, np.array([0, 0, 5, 5, 5], np.int32)
    )
    assert (result["num_images"], result["num_texts"]) == (3, 5)
    metrics = result["metrics"]
    # Best text of image 0 is text 0, of image 5 text 2: both their own.
    assert metrics["image_to_text_R@1"] == 1.0
    # Texts 0, 2, 3 hit; text 1 ranks image 5 before its own; text 4 ranks image 0 before its own.
    assert metrics["text_to_image_R@1"] == pytest.approx(3 / 5)
    assert metrics["text_to_image_R@5"] == 1.0
    chance = result["chance"]
    assert chance["text_to_image_R@1"] == pytest.approx(1 / 3)
    # One draw of five texts: image 0 owns two of them, image 5 three.
    assert chance["image_to_text_R@1"] == pytest.approx((2 / 5 + 3 / 5) / 2)


def test_pixel_baselines_see_the_images(monkeypatch):
    """Both on the same splits, the raw ones separate grey levels; no retrieval."""
    shapes = []
    for name in ("raw_pixels", "pixels_and_gradients"):
        monkeypatch.setattr(
            evaluation.pixels, name, lambda images: shapes.append(images.shape) or images[:, 0, 0]
        )
    splits = Splits(Table(40, labels=halves(40)), Table(24, labels=halves(24), bad=(2,)))
    results = pixel_baselines(splits, tiny_config(), ALL_TASKS)
    assert list(results) == ["raw pixels", "pixels + gradients"]
    for tasks in results.values():
        assert list(tasks) == ["linear_probe", "knn"]
        assert (tasks["knn"]["num_train"], tasks["knn"]["num_test"]) == (40, 23)
        assert tasks["linear_probe"]["metrics"]["accuracy"] > 0.9
    assert set(shapes) == {(16, 32, 32, 3)}
