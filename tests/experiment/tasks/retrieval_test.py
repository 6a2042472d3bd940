"""Retrieval by cosine."""

import numpy as np
import pytest

from tests.reference.label_table import ENCODERS, TOKENIZER, Table, numbers
from tests.reference.tiny_run import tiny_config
from tvdim_jax.experiment.comparison import compare, name_rows
from tvdim_jax.experiment.data import Splits
from tvdim_jax.experiment.tasks import Context, Images, retrieval
from tvdim_jax.experiment.tasks.critics import CriticScores
from tvdim_jax.experiment.tasks.retrieval import RETRIEVAL, score_retrieval


def test_retrieval_by_hand():
    """Three images, five texts; the rows are those of the source, the second image was bad.

    Image 7 has no text. Scores: text 0 finds image 0 first; text 1, of image 0, is nearest to
    image 5; texts 2 and 3 find image 5; text 4 of image 5 is opposite to all.
    """
    image_x = np.array([[1, 0], [0, 1], [-1, 0.1]], np.float32)
    text_x = np.array([[1, 0.1], [0.1, 1], [0, 1], [0.2, 2], [1, -1]], np.float32)
    result, examples, _ = score_retrieval(
        image_x, np.array([0, 5, 7]), text_x, np.array([0, 0, 5, 5, 5], np.int32)
    )
    assert (result["num_images"], result["num_texts"]) == (3, 5)
    metrics = result["metrics"]
    assert result["note"] == (
        "3 images and 5 texts by cosine, ties count as misses; image to text R@1 100.0, R@5 100.0, "
        "R@10 100.0 %, text to image R@1 60.0, R@5 100.0, R@10 100.0 %"
    )
    # Best text of image 0 is text 0, of image 5 text 2: both their own.
    assert metrics["image_to_text_R@1"] == 1.0
    # Texts 0, 2, 3 hit; text 1 ranks image 5 before its own; text 4 ranks image 0 before its own.
    assert metrics["text_to_image_R@1"] == pytest.approx(3 / 5)
    assert metrics["text_to_image_R@5"] == 1.0
    chance = result["chance"]
    assert chance["text_to_image_R@1"] == pytest.approx(1 / 3)
    # One draw of five texts: image 0 owns two of them, image 5 three.
    assert chance["image_to_text_R@1"] == pytest.approx((2 / 5 + 3 / 5) / 2)
    assert list(examples) == ["image to text", "text to image"]
    images, texts = examples.values()
    assert images.names == texts.names == ("R@1", "R@5", "R@10")
    assert (images.rows.tolist(), images.scores.tolist()) == ([0, 5], [[True] * 3] * 2)
    assert texts.rows.tolist() == [0, 0, 5, 5, 5]
    assert texts.scores[:, 0].tolist() == [True, False, True, True, False]
    assert texts.labels is None
    assert texts.where.all()


def test_two_runs_are_compared_query_by_query():
    image_x, rows = np.eye(4, dtype=np.float32), np.arange(4)
    wrong = image_x[[0, 2, 1, 3]]
    found = [
        {
            way: name_rows(each, Table(24, captions=numbers(24)))
            for way, each in score_retrieval(image_x, rows, text_x, rows).examples.items()
        }
        for text_x in (image_x, wrong)
    ]
    differences = compare(*found)
    assert list(differences["text to image"]) == ["R@1", "R@5", "R@10"]  # no mean of them
    first = differences["image to text"]["R@1"]
    assert (first["first"], first["second"], first["num_examples"]) == (1, 0.5, 4)


def test_what_is_missing_is_said_before_an_image_is_read():
    captioned, config = Table(24, captions=numbers(24)), tiny_config()
    assert RETRIEVAL.missing(config, Splits(captioned, captioned)) is None
    blank = Splits(captioned, Table(24, captions=[[" "]] * 24))
    assert RETRIEVAL.missing(config, blank) == "the test part of table has no texts"
    config = tiny_config(objective__text_weight=0.0)
    assert RETRIEVAL.missing(config, blank) == "the run has no text encoder"
    config = tiny_config(objective__name="vqa", data__source="vqa")
    assert RETRIEVAL.missing(config, blank) == "a run of vqa compares no image with a text"


class Reports(Table):
    """Row i: study i // 2, whose report names the level of its first row; the last has none."""

    def study_id(self, row):
        return row // 2

    def captions(self, row):
        level = row // 2 * 2
        return [] if row >= 22 else [f"this is {level // 10} {level % 10}"]


def test_reports_by_the_scores_of_a_critic(monkeypatch):
    """A critic that scores an image and its own report highest; each study takes part once."""
    asked = []

    def of_table(config, critics, images, reports):
        assert critics == {"local": "weights"}
        levels = images["local_map"][:, 0, 0, 0]
        tiles = {"local": lambda i, j: -np.abs(levels[i][:, None] - 2.0 * j[None, :])}
        return CriticScores(tiles, 5)

    def encode(context, texts):
        asked.extend(texts)

    monkeypatch.setattr(retrieval, "critic_scores", of_table)
    monkeypatch.setattr(retrieval, "encode_reports", encode)
    maps = np.broadcast_to(np.arange(24.0)[:, None, None, None], (24, 2, 2, 3))
    images = Images(np.arange(24), {"local_map": maps})
    config = tiny_config(objective__name="lmi")
    splits, nothing = Splits(Table(1), Reports(24)), Images(np.arange(0), {})
    encoders = ENCODERS._replace(critics={"local": "weights"})
    lines = []
    context = Context(config, splits, nothing, images, encoders, TOKENIZER, lines.append)
    assert RETRIEVAL.missing(config, splits) is None
    outcome = RETRIEVAL.run(context)
    result, examples = outcome.result, outcome.examples
    assert examples["image to text"].rows.tolist() == list(range(0, 22, 2))
    assert examples["text to image"].rows.tolist() == list(range(0, 22, 2))
    assert examples["text to image"].scores.all()
    # 12 images and 11 reports in blocks of 5: 9 tiles, 3 of them with partners.
    assert [line.split("  ")[0] for line in lines] == [
        f"local critic: {done} of 12 tiles" for done in range(1, 13)
    ]
    assert asked[3] == ["this is 0 6"]
    assert (result["num_images"], result["num_texts"]) == (12, 11)
    assert result["note"].startswith(
        "recall of 12 images and 11 whole reports by the scores of the"
    )
    assert result["metrics"]["image_to_text_R@1"] == 1.0
    assert result["metrics"]["text_to_image_R@1"] == 1.0
    assert result["details"] == {"local": result["metrics"]}
    assert result["chance"]["text_to_image_R@1"] == pytest.approx(1 / 12)
