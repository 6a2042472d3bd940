import json

import jax.numpy as jnp
import numpy as np
import pytest

from tvdim_jax import losses
from tvdim_jax.evals import mi_estimate

LOSSES = {
    "info_nce": losses.info_nce_lower_bound,
    "nwj": losses.nwj_lower_bound,
    "donsker_varadhan": losses.donsker_varadhan_lower_bound,
}


def gaussians(mi, num_pairs, width=8, seed=0):
    """Pairs that share `mi` nats, and their log density ratio as a function of rows."""
    rho = np.sqrt(1 - np.exp(-2 * mi / width))
    rng = np.random.default_rng(seed)
    x, noise = rng.normal(size=(2, num_pairs, width))
    y = rho * x + np.sqrt(1 - rho**2) * noise

    def log_ratio(x_rows, y_rows):
        a, b = x[x_rows], y[y_rows]
        squares = (a**2).sum(1)[:, None] + (b**2).sum(1)[None]
        exponent = (2 * rho * a @ b.T - rho**2 * squares) / (2 * (1 - rho**2))
        return mi + exponent  # mi = -width / 2 log(1 - rho^2)

    return log_ratio


def test_estimates_equal_the_losses_on_a_table():
    scores = np.random.default_rng(0).normal(size=(9, 9)) * 3
    for name, estimator in mi_estimate.ESTIMATORS.items():
        found = estimator(scores, np.ones((1, 9)))
        np.testing.assert_allclose(found, [LOSSES[name](jnp.asarray(scores))], rtol=1e-5)
    found = mi_estimate.donsker_varadhan(scores, np.ones((1, 9)), clip=2.0)
    wanted = losses.smile_lower_bound(jnp.asarray(scores), clip=2.0)
    np.testing.assert_allclose(found, [wanted], rtol=1e-5)


def test_counts_are_copies_that_are_not_each_others_negatives():
    rng = np.random.default_rng(1)
    scores = rng.normal(size=(6, 6)) * 2
    rows = np.array([0, 0, 2, 3, 3, 3, 5])
    counts = np.bincount(rows, minlength=6)[None].astype(float)
    ids = jnp.asarray(rows)
    table = jnp.asarray(scores[rows][:, rows])
    for name, estimator in mi_estimate.ESTIMATORS.items():
        wanted = LOSSES[name](table, x_group_id=ids, y_group_id=ids)
        np.testing.assert_allclose(estimator(scores, counts), [wanted], rtol=1e-5)


def test_a_panel_is_the_mean_over_tiles_and_records_its_protocol():
    score = gaussians(1.0, 50)
    panel = mi_estimate.estimate(score, 50, pairs_per_tile=16, num_resamples=20, seed=4)
    order = np.random.default_rng(4).permutation(50)
    for name, bound in LOSSES.items():
        each = [bound(jnp.asarray(score(rows, rows))) for rows in order[:48].reshape(3, 16)]
        assert panel.estimates[name]["nats"] == pytest.approx(np.mean(each), rel=1e-4)
    assert (panel.num_tiles, panel.pairs_per_tile, panel.num_pairs) == (3, 16, 50)
    assert panel.log_n == pytest.approx(np.log(16))
    again = mi_estimate.estimate(score, 50, pairs_per_tile=16, num_resamples=20, seed=4)
    assert again == panel
    record = json.loads(json.dumps(panel._asdict(), allow_nan=False))
    assert record["estimates"]["smile"]["low"] < record["estimates"]["smile"]["high"]
    assert "jsd" not in record["estimates"]


def test_gaussians_show_the_plateau_at_log_n():
    """With the best critic: InfoNCE follows the truth, then stays under log 128 = 4.85 nats."""
    found = {}
    for truth in (1.0, 2.0, 4.0, 8.0, 16.0):
        score = gaussians(truth, 640)
        found[truth] = panel = mi_estimate.estimate(
            score, 640, jsd_score=score, pairs_per_tile=128, num_resamples=100
        )
        assert panel.estimates["info_nce"]["nats"] <= panel.log_n
    for truth in (1.0, 2.0):
        estimates = found[truth].estimates
        for name in ("info_nce", "donsker_varadhan", "smile", "jsd"):
            assert estimates[name]["nats"] == pytest.approx(truth, rel=0.15), name
            assert estimates[name]["low"] < truth < estimates[name]["high"] + 0.15 * truth, name
    plateau = [found[truth].estimates["info_nce"]["nats"] for truth in (8.0, 16.0)]
    assert np.diff(plateau)[0] < 0.2
    assert plateau[1] > 0.98 * np.log(128)
    assert [found[truth].saturated for truth in (1.0, 2.0, 4.0, 16.0)] == [False] * 3 + [True]
    assert found[8.0].estimates["smile"]["nats"] > np.log(128) + 1


def test_the_interval_holds_the_truth_about_as_often_as_it_says():
    truth, hits = 1.0, 0
    for seed in range(30):
        panel = mi_estimate.estimate(
            gaussians(truth, 256, seed=seed), 256, pairs_per_tile=256, num_resamples=200,
            confidence=0.8,
        )  # fmt: skip
        estimate = panel.estimates["donsker_varadhan"]
        hits += estimate["low"] < truth < estimate["high"]
    assert 18 <= hits <= 29


def test_scores_without_an_end_become_none():
    panel = mi_estimate.estimate(lambda x, y: np.full((4, 4), 800.0), 4, num_resamples=10)
    assert panel.estimates["nwj"] == {"nats": None, "low": None, "high": None}
    assert panel.estimates["donsker_varadhan"]["nats"] == pytest.approx(0)


def test_errors():
    with pytest.raises(ValueError, match=r"got 1 pairs in tiles of 512, smile_clip 5.0, 500 re"):
        mi_estimate.estimate(gaussians(1.0, 9), 1)
    with pytest.raises(ValueError, match=r"got scores of shape \(9, 2\), 0 of them NaN"):
        mi_estimate.estimate(lambda x, y: np.zeros((9, 2)), 9)
    with pytest.raises(ValueError, match=r"got scores of shape \(9, 9\), 81 of them NaN"):
        mi_estimate.estimate(lambda x, y: np.full((9, 9), np.nan), 9)
