"""AMDIM's probe against three updates in PyTorch (tests/data/amdim_classifiers.npz)."""

import json
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tvdim_jax.evals import sgd_probe
from tvdim_jax.evals.labelled import LabelledFeatures

VECTORS = np.load(Path(__file__).parents[1] / "data" / "amdim_classifiers.npz", allow_pickle=False)

UPDATE = jax.jit(sgd_probe.update)


def tree(prefix):
    params = {}
    for name in VECTORS.files:
        if name.startswith(prefix):
            layer, leaf = name.removeprefix(prefix).split("/")
            params.setdefault(layer, {})[leaf] = VECTORS[name]
    return params


def test_updates_equal_pytorch():
    state = sgd_probe.init_state(jax.random.key(0), 5, 3, hidden=7)
    before = tree("before/")
    assert jax.tree.map(jnp.shape, state.params) == jax.tree.map(jnp.shape, before)
    state = state._replace(params=jax.tree.map(jnp.asarray, before))
    for step, wanted in enumerate(VECTORS["losses"]):
        keep = VECTORS["keep_input"][step], VECTORS["keep_hidden"][step]
        batch = VECTORS["features"][step], VECTORS["labels"][step]
        state, loss = UPDATE(state, *batch, keep, VECTORS["rates"][step])
        np.testing.assert_allclose(loss, wanted, rtol=1e-5)
    jax.tree.map(partial(np.testing.assert_allclose, atol=2e-5), state.params, tree("after/"))
    np.testing.assert_allclose(state.mean, VECTORS["mean"], atol=1e-5)
    np.testing.assert_allclose(state.var, VECTORS["var"], rtol=1e-5)
    linear, mlp = sgd_probe.eval_logits(state, VECTORS["features"][0])
    np.testing.assert_allclose(linear, VECTORS["linear_logits"], atol=2e-4)
    np.testing.assert_allclose(mlp, VECTORS["mlp_logits"], atol=2e-4)


def test_the_loss_is_that_of_the_release_and_survives_a_batch_without_labels():
    logits, labels = VECTORS["xent/logits"], VECTORS["xent/labels"]
    found = sgd_probe.classifier_loss(logits, labels)
    np.testing.assert_allclose(found, VECTORS["xent/loss"], rtol=1e-6)
    none = jax.jit(jax.value_and_grad(sgd_probe.classifier_loss))(logits, np.full(8, -1))
    np.testing.assert_allclose(none[0], 1e-3 * np.mean(logits**2), rtol=1e-5)
    assert np.isfinite(none[1]).all()


def test_initial_values_are_those_of_the_release():
    params = sgd_probe.init_state(jax.random.key(1), 100, 50).params
    for name, inputs in (("linear", 100), ("output", 1024)):
        for leaf in params[name].values():
            assert np.abs(leaf).max() <= 1 / np.sqrt(inputs)
            assert np.std(leaf) == pytest.approx(1 / np.sqrt(3 * inputs), rel=0.2)
    assert set(params["hidden"]) == {"kernel"}
    scale = np.asarray(params["norm"]["scale"])
    assert 0 <= scale.min() < 0.1
    assert 0.9 < scale.max() < 1


def rings(n, seed):
    """The class is how far a row is from the middle: no line tells it."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, n)
    angle = rng.uniform(0, 2 * np.pi, n)
    radius = (0.5 + 2 * labels) + 0.1 * rng.normal(size=n)
    return LabelledFeatures(
        np.stack([radius * np.cos(angle), radius * np.sin(angle)], 1).astype(np.float32), labels
    )


def test_the_mlp_learns_what_the_line_cannot():
    train, test = rings(410, 0), rings(201, 1)
    linear, mlp = sgd_probe.evaluate(train, test, epochs=60, milestones=(50,), batch_size=50)
    assert (linear.classifier, mlp.classifier) == ("linear", "mlp")
    assert linear.value < 0.75
    assert mlp.value > 0.95
    again = sgd_probe.evaluate(train, test, epochs=60, milestones=(50,), batch_size=50)
    assert again == [linear, mlp]
    record = json.loads(json.dumps(mlp._asdict()))
    protocol = {"epochs": 60, "milestones": [50], "batch_size": 50, "learning_rate": 2e-4}
    sizes = {"num_train": 410, "num_test": 201, "num_features": 2, "num_classes": 2, "seed": 0}
    assert record | protocol | sizes == record


def test_every_epoch_has_its_order_and_the_rate_drops_after_a_milestone(monkeypatch):
    seen = []

    def note(state, data, rows, rate, key):
        seen.append((rows.shape, sorted(np.ravel(rows).tolist()), rate))
        return state

    monkeypatch.setattr(sgd_probe, "_epoch", note)
    sgd_probe.evaluate(rings(11, 0), rings(9, 1), epochs=4, milestones=(0, 2), batch_size=5)
    assert [rate for _, _, rate in seen] == pytest.approx([2e-4, 4e-5, 4e-5, 8e-6])
    assert all(shape == (2, 5) and len(set(rows)) == 10 for shape, rows, _ in seen)
    assert seen[0][1] != seen[1][1] or seen[1][1] != seen[2][1]


def test_an_epoch_is_its_updates_each_with_its_own_dropout():
    rng = np.random.default_rng(0)
    data = jnp.float32(rng.normal(size=(16, 5))), jnp.int32(rng.integers(0, 3, 16))
    state = sgd_probe.init_state(jax.random.key(0), 5, 3, hidden=7)
    rows, key = jnp.asarray(rng.permutation(16).reshape(2, 8)), jax.random.key(1)
    wanted = state
    for step, batch in enumerate(rows):
        keep = jax.random.bernoulli(jax.random.fold_in(key, step), 0.8, (8, 5 + 7))
        keep = keep[:, :5], keep[:, 5:]
        wanted, _ = UPDATE(wanted, data[0][batch], data[1][batch], keep, np.float32(0.01))
    found = sgd_probe._epoch(state, data, rows, 0.01, key)
    jax.tree.map(partial(np.testing.assert_allclose, atol=1e-5), found.params, wanted.params)


def test_errors():
    part = rings(10, 0)
    with pytest.raises(ValueError, match=r"got labels of shape \(10,\), 0 epochs and batches of"):
        sgd_probe.evaluate(part, part, epochs=0)
    several = part._replace(labels=np.eye(2, dtype=bool)[part.labels])
    with pytest.raises(ValueError, match="take linear_probe for several labels"):
        sgd_probe.evaluate(several, several)
