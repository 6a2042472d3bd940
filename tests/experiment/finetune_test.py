"""Fine-tuning of a model of two matrices; a real encoder in the slow test."""

import json
from functools import partial

import jax
import numpy as np
import pytest

from tests.reference.linear_model import Colours, linear_model
from tests.reference.tiny_run import tiny_config
from tvdim_jax.data.bad_examples import BadExamples
from tvdim_jax.data.sources.scenes import Scenes
from tvdim_jax.evals import features, linear_probe
from tvdim_jax.evals.labelled import LabelledFeatures
from tvdim_jax.experiment.finetune import FineTuning, finetune_classifier
from tvdim_jax.experiment.labelled_images import LabelledImages, scored_batches
from tvdim_jax.experiment.model import make_model
from tvdim_jax.experiment.views import make_plain_view

CONFIG = tiny_config(data__num_threads=2)
GREY = tiny_config(data__num_threads=2, augment="xray")
QUICK = FineTuning(num_steps=3, batch_size=16)


def coloured(count, bad=(), first=0):
    """Is there more red than blue? Of the rows from `first` on."""
    source = Colours(count, bad)
    rows = np.arange(first, count)
    return LabelledImages(
        source, rows, (source.colour[rows, 0] > source.colour[rows, 2]).astype(int)
    )


def several(count):
    """Two labels, the second one unknown for every other row and wrong there."""
    source = Colours(count)
    labels = np.stack([source.colour[:, c] > 128 for c in (0, 2)], axis=1)
    where = np.stack([np.ones(count, bool), np.arange(count) % 2 == 0], axis=1)
    return LabelledImages(source, np.arange(count), np.where(where, labels, ~labels), where)


def run(train_set, test_set, *, config=CONFIG, report=lambda line: None, params=None, **changes):
    model = linear_model()
    fresh, variables = model.init(None)
    ledger = changes.pop("ledger", None) or BadExamples()
    return finetune_classifier(
        config, model, params or fresh, variables, train_set=train_set, test_set=test_set,
        options=QUICK._replace(**changes), ledger=ledger, report=report,
    )  # fmt: skip


def test_it_learns_reports_and_records():
    lines = []
    found = run(
        coloured(64), coloured(96, first=64), num_steps=40, learning_rate=0.1, report=lines.append
    )
    test_set = coloured(96, first=64)
    assert found.test_index.tolist() == list(range(32))
    assert np.mean(found.logits.argmax(axis=1) == test_set.labels) >= 0.8
    assert float(found.variables["batch_stats"]["image"]["calls"]) == 40
    assert len(lines) == 20
    assert lines[-1].startswith("step 40/40")
    assert "eta 0:00:00" in lines[-1]
    protocol = json.loads(json.dumps(found.protocol._asdict()))
    options = {"num_steps": 40, "batch_size": 16, "learning_rate": 0.1, "schedule": "cosine"}
    counts = {"num_train": 64, "num_test": 32, "num_test_unreadable": 0, "num_classes": 2}
    sizes = {"num_trained_parameters": 18 + 36 + 14, "num_frozen_parameters": 0}
    rest = {"labels_per_image": "one", "nonfinite_steps": 0, "augment": "cifar", "seed": 0}
    assert protocol | options | counts | sizes | rest == protocol


def test_bad_images_do_not_end_it_and_the_logits_are_those_of_the_trees_it_returns():
    test_set = coloured(64, bad=(40,), first=32)
    ledger = BadExamples()
    found = run(coloured(16, bad=(5,)), test_set, ledger=ledger)
    assert ledger.counts() == {"missing file": 2}
    assert found.test_index.tolist() == [i for i in range(32) if i != 8]
    assert found.protocol.num_test_unreadable == 1
    colour = test_set.source.colour[test_set.rows[found.test_index]] / 255
    mean = np.array([125.3, 123.0, 113.9]) / 255
    std = np.array([63.0, 62.1, 66.7]) / 255
    trees = jax.tree.map(np.asarray, found.params)
    image, dense = trees["image"], trees["classifier"]["dense"]
    hidden = np.tanh((colour - mean) / std @ image["stem"]["kernel"][0])
    wanted = hidden @ image["stage_1_block_1"]["kernel"] @ dense["kernel"] + dense["bias"]
    np.testing.assert_allclose(found.logits, wanted, atol=1e-4)


def test_frozen_parts_stay_bit_equal_and_lower_parts_move_less():
    """Adam's first update is the rate itself, whatever the gradient."""
    before, _ = linear_model().init(None)
    found = run(
        coloured(32), coloured(8), num_steps=1, learning_rate=0.01, layer_decay=0.5,
        frozen=("stem",), batch_statistics=False,
    )  # fmt: skip
    moved = jax.tree.map(lambda a, b: np.abs(a - b), found.params["image"], before["image"])
    assert not moved["stem"]["kernel"].any()
    np.testing.assert_allclose(moved["stage_1_block_1"]["kernel"], 0.005, rtol=1e-3)
    assert float(found.variables["batch_stats"]["image"]["calls"]) == 0
    assert set(found.params) == {"image", "classifier"}
    assert found.protocol.num_frozen_parameters == 18
    assert found.protocol.num_trained_parameters == 36 + 14


def test_grey_images_with_unknown_labels():
    images = several(32)
    found = run(images, images, config=GREY, learning_rate=0.1)
    mended = images._replace(labels=np.where(images.where, images.labels, ~images.labels))
    again = run(mended, images, config=GREY, learning_rate=0.1)
    assert jax.tree.all(jax.tree.map(np.array_equal, found.params, again.params))
    assert found.protocol.labels_per_image == "several"
    assert found.logits.shape == (32, 2)


def test_errors():
    part = coloured(16)
    with pytest.raises(ValueError, match=r"3 updates, 3 of them to warm up, of 16 images, wanted"):
        run(part, part, warmup_steps=3)
    with pytest.raises(ValueError, match=r"labels must be int .* alike in both parts"):
        run(part, several(16))
    model_params, _ = linear_model().init(None)
    broken = jax.tree.map(lambda leaf: leaf * np.nan, model_params)
    with pytest.raises(ValueError, match=r"diverged: got updates in a row .* lower the learning"):
        run(part, part, params=broken, num_steps=20)


@pytest.mark.slow
def test_fine_tuning_beats_the_frozen_linear_probe():
    config = tiny_config(model__image="amdim_demo", objective__name="amdim")
    model = make_model(config, 0)
    params, variables = model.init(jax.random.key(0))
    names = sorted({Scenes(200, 0, 32).labels(row)[0] for row in range(200)})
    parts = []
    for source in (Scenes(800, 0, 32), Scenes(400, 1, 32)):
        labels = [names.index(source.labels(row)[0]) for row in range(len(source))]
        parts.append(LabelledImages(source, np.arange(len(source)), np.array(labels)))
    found = finetune_classifier(
        config, model, params, variables, train_set=parts[0], test_set=parts[1],
        options=FineTuning(num_steps=200, learning_rate=3e-3, warmup_steps=20),
        ledger=BadExamples(), report=print,
    )  # fmt: skip
    view = make_plain_view(config.augment, config.model.image_size)
    encode = jax.jit(partial(model.image, train=False, key=None))
    frozen = []
    for part in parts:
        batches = scored_batches(config, part, 100, BadExamples())
        vectors, _ = features.extract(
            lambda batch: encode(params, variables, view(batch["image"]))[0].global_features,
            batches,
        )
        frozen.append(LabelledFeatures(vectors, part.labels))
    probe = linear_probe.evaluate(*frozen)
    tuned = np.mean(found.logits.argmax(axis=1) == parts[1].labels)
    assert probe.value < 0.6
    assert tuned > probe.value + 0.2
