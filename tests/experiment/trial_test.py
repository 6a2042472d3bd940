"""A trial of a tiny CLIP: its pairs, its loss on 1 and 8 devices, and what it memorises."""

from types import SimpleNamespace

import jax
import numpy as np
import pytest

from tests.reference.label_table import Table
from tests.reference.tiny_run import CLIP, tiny_config
from tvdim_jax.config import ConfigError
from tvdim_jax.experiment import trial as trial_lib
from tvdim_jax.experiment.trial import difference, loss_and_gradient, memorise, open_trial


@pytest.fixture(scope="module")
def trial():
    return open_trial(tiny_config(**CLIP, optimizer__learning_rate=3e-3), 8, 40)


def test_its_pairs_have_texts_of_their_own(trial):
    texts = [trial.source.captions(row) for row in range(len(trial.source))]
    every = [text.lower() for own in texts for text in own]
    assert len(texts) == 8
    assert len(every) == len(set(every))
    assert (trial.config.train.batch_size, trial.config.eval.num_test_examples) == (8, 8)
    assert (trial.config.optimizer.schedule, trial.config.optimizer.warmup_steps) == ("constant", 1)


def test_too_few_of_them(monkeypatch):
    same = Table(50, captions=[["A b"], ["a B "], [], ["c"]] + [["c"]] * 46)
    monkeypatch.setattr(trial_lib, "make_splits", lambda config: trial_lib.Splits(same, same))
    with pytest.raises(ConfigError) as error:
        open_trial(tiny_config(), 8, 40)
    assert str(error.value) == (
        "table has 2 training images with texts of their own, fewer than 8; try fewer with --pairs"
    )


def test_loss_and_gradient_are_the_same_on_1_and_8_devices(trial):
    local = jax.local_devices()
    one, all_of_them = (loss_and_gradient(trial, each) for each in (local[:1], local))
    of_loss, of_gradient = difference(one, all_of_them)
    assert of_loss < 1e-4
    assert of_gradient < 1e-3
    assert any(np.abs(leaf).max() > 1e-4 for leaf in jax.tree.leaves(one[1]))


def test_what_is_memorised_is_recall_at_1_of_images_by_their_texts(trial, monkeypatch):
    ways = [f"{way}_R@{k}" for way in ("image_to_text", "text_to_image") for k in (1, 5, 10)]
    metrics = {name: 0.1 * place for place, name in enumerate(ways)}
    result = {"metrics": metrics, "chance": {name: 0.5 + v for name, v in metrics.items()}}
    found = SimpleNamespace(rows={"trained": {"retrieval": SimpleNamespace(result=result)}})
    monkeypatch.setattr(trial_lib, "make_encoders", lambda *_: None)
    monkeypatch.setattr(trial_lib, "evaluate", lambda *_, **__: found)
    assert trial_lib._share_found(trial, (None, None)) == pytest.approx((0.3, 0.8))


def test_a_gradient_of_another_scale_is_a_difference():
    one = (2.0, {"a": np.array([3.0, 4.0])})
    assert difference(one, one) == (0, 0)
    found = difference(one, (2.5, {"a": np.array([1.5, 2.0])}))
    np.testing.assert_allclose(found, (0.25, 0.5))


@pytest.mark.slow
def test_memorising_stops_when_enough_is_known_or_all_updates_are_made(trial):
    lines = []
    found, chance, steps = memorise(trial, 1.1, lines.append)  # never enough
    assert (steps, chance) == (40, 1 / 8)
    assert 0 <= found <= 1
    assert lines == [lines[0]]
    assert lines[0].startswith("update 40/40  loss ")
    assert lines[0].endswith(f"{found:.0%} of the texts find their image")


@pytest.mark.slow
def test_pairs_are_memorised(trial):
    trial.config.train.num_steps = 600
    found, _, steps = memorise(trial, 0.8, lambda line: None)
    assert found >= 0.8
    assert steps < 600
