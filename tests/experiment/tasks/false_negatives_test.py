"""The audit of false negatives on a table with planted near-matches."""

from types import SimpleNamespace

import numpy as np
import pytest

from tests.reference.label_table import (
    ENCODERS,
    TOKENIZER,
    Table,
    embed_level,
    embed_number,
    numbers,
)
from tests.reference.tiny_run import CLIP, tiny_config
from tvdim_jax.experiment.data import Splits
from tvdim_jax.experiment.encoders import EMBEDDING, Encoders
from tvdim_jax.experiment.tasks import Context, Images, false_negatives
from tvdim_jax.experiment.tasks.false_negatives import FALSE_NEGATIVES

SIZE = 16
REGULATED = CLIP | {
    "objective__pair_loss": "similarity_regulated",
    "objective__norm": "softmax",
    "objective__delta": 5.0,
}
CAPTIONS = numbers(SIZE)
CAPTIONS[9] = CAPTIONS[8]  # an equal text: nobody's negative
CAPTIONS[3] = []


def outcome(config, encoders=ENCODERS, captions=CAPTIONS):
    source, size = Table(len(captions), captions=captions), len(captions)
    levels = np.arange(16, dtype=np.uint8)[:, None, None, None]
    found = embed_level({"image": np.broadcast_to(levels, (16, 32, 32, 3))})
    train = Images(np.arange(size), {name: each[:size] for name, each in found.items()})
    nothing = Images(np.zeros(0, np.int64), {})
    splits = Splits(source, Table(1))
    return FALSE_NEGATIVES.run(Context(config, splits, train, nothing, encoders, TOKENIZER))


def cosine(one, two):
    """Of the levels on the wheel of 40."""
    return (1 + np.cos((one - two) * 2 * np.pi / 40)) / 2


def test_the_nearest_negatives_with_their_weights():
    config = tiny_config(**REGULATED, train__batch_size=16)
    result = outcome(config).result
    assert result["num_batches"] == 1
    rows = [row for row in range(SIZE) if row != 3]
    level = {row: 8 if row == 9 else row for row in rows}  # of the text
    weights = {}
    for one in rows:
        negatives = [two for two in rows if two != one and {one, two} != {8, 9}]
        raw = {two: np.exp(5 / np.exp(cosine(one, level[two]))) for two in negatives}
        weights |= {(one, two): len(raw) * raw[two] / sum(raw.values()) for two in raw}
    assert len(result["nearest"]) == 20
    for entry in result["nearest"]:
        one, two = (int(entry[name].removesuffix(".jpg")) for name in ("image", "other_image"))
        assert (entry["own_text"], entry["other_text"]) == (CAPTIONS[one][0], CAPTIONS[two][0])
        assert entry["model_cosine"] == pytest.approx(cosine(one, level[two]), abs=1e-5)
        assert entry["model_weight"] == pytest.approx(weights[one, two], rel=1e-4)
        assert abs(one - level[two]) <= 1
    spared = np.mean([weight < 0.7 for weight in weights.values()])
    assert result["metrics"]["model_weight_below_0.7"] == pytest.approx(spared)
    shares = result["details"]["weights by the model"]
    assert sum(shares.values()) == pytest.approx(1)
    assert shares["0.0 to 0.2"] == result["metrics"]["model_weight_below_0.2"]
    assert result["note"].count("model cosine") == 20
    assert "teacher" not in result["note"]


def test_a_teacher_gives_its_own_cosines_and_the_order(tmp_path, monkeypatch):
    """Of the teacher a text of level l is nearest to the image of level l + 5."""

    def image(batch):
        return {EMBEDDING: embed_level(batch)["global"]}

    def text(batch):
        x, y, one = embed_number(batch).T
        turn = 5 * 2 * np.pi / 40
        return np.stack([x * np.cos(turn) - y * np.sin(turn),
                         x * np.sin(turn) + y * np.cos(turn), one], -1)  # fmt: skip

    frozen = SimpleNamespace(
        model=SimpleNamespace(text=text), trees={"params": "theirs", "variables": {}}
    )

    def encoders_of(config, model, params, variables):
        assert (model, params) == (frozen.model, "theirs")
        return Encoders(16, image, text, {})

    monkeypatch.setattr(false_negatives, "open_teacher", lambda config: frozen)
    monkeypatch.setattr(false_negatives, "make_encoders", encoders_of)
    changes = {"objective__teacher": tmp_path, "train__batch_size": 16}
    result = outcome(tiny_config(**REGULATED, **changes)).result
    shown = []
    for entry in result["nearest"]:
        one, two = (int(entry[name].removesuffix(".jpg")) for name in ("image", "other_image"))
        level = 8 if two == 9 else two
        assert entry["model_cosine"] == pytest.approx(cosine(one, level), abs=1e-5)
        assert entry["teacher_cosine"] == pytest.approx(cosine(one, level + 5), abs=1e-5)
        shown.append(entry["teacher_cosine"])
    rows = [row for row in range(SIZE) if row != 3]
    level = {row: 8 if row == 9 else row for row in rows}
    negatives = [(i, j) for i in rows for j in rows if i != j and {i, j} != {8, 9}]
    wanted = np.corrcoef(*zip(*((cosine(i, level[j]), cosine(i, level[j] + 5))
                                for i, j in negatives), strict=True))  # fmt: skip
    assert result["metrics"]["teacher_correlation"] == pytest.approx(wanted[0, 1], abs=1e-5)
    assert shown == sorted(shown, reverse=True)
    assert shown[0] == pytest.approx(1, abs=1e-5)
    assert set(result["details"]) == {"weights by the model", "weights by the teacher"}
    assert result["note"].count("teacher cosine") == 20


def test_batches_have_the_size_of_the_run_and_are_summed_up():
    config = tiny_config(**REGULATED, train__batch_size=5)
    result = outcome(config).result
    rows = np.array([row for row in range(SIZE) if row != 3])
    batches = np.random.default_rng(config.seed).permutation(rows).reshape(3, 5)
    cosines, weights = {}, []
    for batch in batches:
        for one in batch:
            others = [two for two in batch if two != one and {one, two} != {8, 9}]
            found = {two: cosine(one, 8 if two == 9 else two) for two in others}
            cosines |= {(one, two): each for two, each in found.items()}
            raw = np.array([np.exp(5 / np.exp(each)) for each in found.values()])
            weights += [*(len(raw) * raw / raw.sum())]
    assert result["num_batches"] == 3
    spared = np.mean(np.array(weights) < 0.7)
    assert result["metrics"]["model_weight_below_0.7"] == pytest.approx(spared)
    best = sorted(cosines.values(), reverse=True)[:20]
    assert [each["model_cosine"] for each in result["nearest"]] == pytest.approx(best, abs=1e-5)
    for entry in result["nearest"]:
        pair = tuple(int(entry[name].removesuffix(".jpg")) for name in ("image", "other_image"))
        assert entry["model_cosine"] == pytest.approx(cosines[pair], abs=1e-5)


def test_fewer_negatives_than_are_shown():
    captions = [*numbers(3), ["0 0"]]  # the last is that of the first: 12 pairs less 2
    result = outcome(tiny_config(**REGULATED, train__batch_size=4), captions=captions).result
    assert len(result["nearest"]) == 10
    assert all(entry["image"] != entry["other_image"] for entry in result["nearest"])
    assert all(entry["model_weight"] > 0 for entry in result["nearest"])
    one_text = [["1 2"]] * 4
    with pytest.raises(ValueError, match="got 4 training images whose texts are equal in every"):
        outcome(tiny_config(**REGULATED, train__batch_size=4), captions=one_text)


def test_what_is_missing():
    full, blank = (Splits(Table(4, captions=each), Table(1)) for each in (numbers(4), None))
    assert FALSE_NEGATIVES.missing(tiny_config(**REGULATED), full) is None
    assert FALSE_NEGATIVES.missing(tiny_config(), full) == "a run of tvdim weighs no negatives"
    why = FALSE_NEGATIVES.missing(tiny_config(**REGULATED), blank)
    assert why == "the training part of table has no texts"
    with pytest.raises(ValueError, match="false_negatives needs a text encoder"):
        outcome(tiny_config(**REGULATED), encoders=None)
