import numpy as np
import pytest

from tvdim_jax.evals import jsd_critic, mi_estimate
from tvdim_jax.losses import jsd_objective


def gaussians(mi, num_pairs, width=4):
    rho = np.sqrt(1 - np.exp(-2 * mi / width))
    rng = np.random.default_rng(0)
    x, noise = rng.normal(size=(2, num_pairs, width))
    return 3 * x + 5, rho * x + np.sqrt(1 - rho**2) * noise


def estimate(critic, x, y):
    score = critic.score_tile(x, y)
    panel = mi_estimate.estimate(score, len(x), jsd_score=score, num_resamples=20)
    return panel.estimates


@pytest.mark.parametrize("truth", [0.0, 1.0])
def test_it_finds_what_gaussians_share(truth):
    x, y = gaussians(truth, 3024)
    critic = jsd_critic.fit(x[:2000], y[:2000], epochs=15)
    found = estimate(critic, x[2000:], y[2000:])
    for name in ("jsd", "smile", "info_nce"):
        assert found[name]["nats"] == pytest.approx(truth, abs=0.2), name


def test_scores_are_those_of_the_equation_and_the_objective_that_of_the_losses():
    x, y = gaussians(1.0, 64)
    critic = jsd_critic.fit(x, y, epochs=3)
    table = np.zeros((64, 64))
    sides = []
    for name, rows in (("x", x), ("y", y)):
        net = {key: np.asarray(value, float) for key, value in critic.params[name].items()}
        inputs = (rows - critic.mean[name]) / critic.std[name]
        z = inputs @ net["hidden"] + net["hidden_bias"]
        hidden = 0.5 * z * (1 + np.tanh(np.sqrt(2 / np.pi) * (z + 0.044715 * z**3)))
        sides.append(hidden @ net["curved"] + inputs @ net["linear"])
    for i in range(64):
        for j in range(64):
            a, b = sides[0][i], sides[1][j]
            table[i, j] = a[:64] @ b[:64] / 8 + a[64] + b[64]
    found = critic.score_tile(x, y)(np.arange(64), np.arange(64))
    np.testing.assert_allclose(found, table, atol=1e-4)
    stop = np.random.default_rng(0).permutation(64)[:10]
    wanted = float(jsd_objective(table[stop][:, stop].astype(np.float32)))
    assert critic.stop_objective == pytest.approx(wanted, abs=1e-4)
    assert critic.stop_objective > -2 * np.log(2)
    assert 1 <= critic.epoch <= 3


def test_the_stopping_pairs_neither_train_nor_standardise(monkeypatch):
    seen = []
    run_epoch = jsd_critic._epoch

    def note(state, inputs, rows):
        seen.append(np.ravel(rows).tolist())
        return run_epoch(state, inputs, rows)

    monkeypatch.setattr(jsd_critic, "_epoch", note)
    x, y = gaussians(1.0, 64)
    critic = jsd_critic.fit(x, y, epochs=2)
    train = np.random.default_rng(0).permutation(64)[10:]
    assert all(sorted(rows) == sorted(train) for rows in seen)
    assert seen[0] != seen[1]
    np.testing.assert_allclose(critic.mean["x"], x[train].mean(axis=0))
    np.testing.assert_allclose(critic.std["y"], y[train].std(axis=0))


def test_errors():
    x, y = gaussians(1.0, 64)
    with pytest.raises(ValueError, match="got 64 and 9 features and 30 epochs, wanted pairs"):
        jsd_critic.fit(x, y[:9])
    with pytest.raises(ValueError, match="x features hold NaN"):
        jsd_critic.fit(x * np.nan, y)


def test_the_epoch_is_chosen_on_pairs_that_do_not_train():
    """Of pairs that share nothing each epoch learns by heart what does not hold elsewhere."""
    x, y = np.random.default_rng(0).normal(size=(2, 64, 24))
    short, long = (jsd_critic.fit(x, y, epochs=epochs) for epochs in (1, 30))
    assert long.stop_objective >= short.stop_objective
    assert long.epoch < 30


def test_a_coordinate_that_is_dead_in_training_does_not_drown_the_others():
    x, y = gaussians(1.0, 400)
    dead, alive = np.zeros(300), np.full(100, 0.5)
    critic = jsd_critic.fit(np.c_[x[:300], dead], y[:300], epochs=3)
    rows = np.arange(100)
    without = critic.score_tile(np.c_[x[300:], np.zeros(100)], y[300:])(rows, rows)
    scores = critic.score_tile(np.c_[x[300:], alive], y[300:])(rows, rows)
    np.testing.assert_allclose(scores, without, atol=1.0)
