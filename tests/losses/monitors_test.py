"""The summary against its parts on a score matrix, and that nothing flows back."""

import jax
import jax.numpy as jnp
import numpy as np

from tvdim_jax.losses import info_nce_loss, info_nce_lower_bound, score_summary

RNG = np.random.default_rng(3)
SCORES = jnp.asarray(RNG.normal(size=(6, 9)), jnp.float32)
WORDS = {
    "y_where": RNG.random(9) < 0.8,
    "x_group_id": RNG.integers(0, 4, 6),
    "y_group_id": RNG.integers(0, 4, 9),
}


def test_equal_to_its_parts():
    got = score_summary(SCORES, temperature=0.3, **WORDS)
    bound = info_nce_lower_bound(SCORES / 0.3, **WORDS)
    loss = info_nce_loss(SCORES, temperature=0.3, symmetric=False, **WORDS)
    np.testing.assert_allclose(got["mi_nats"], bound, rtol=1e-5)
    np.testing.assert_allclose(got["loss_over_log_n"], loss / (loss + bound), rtol=1e-5)
    real = [i for i in range(6) if WORDS["y_where"][i]]
    np.testing.assert_allclose(
        got["positive_score"], np.mean([SCORES[i, i] for i in real]), rtol=1e-5
    )
    hardest = []
    for i in range(6):
        rivals = [
            float(SCORES[i, j])
            for j in range(9)
            if j != i and WORDS["y_where"][j] and WORDS["x_group_id"][i] != WORDS["y_group_id"][j]
        ]
        hardest += [max(rivals)] if rivals else []
    np.testing.assert_allclose(got["hardest_negative_score"], np.mean(hardest), rtol=1e-5)


def test_no_gradient():
    gradient = jax.grad(lambda s: sum(score_summary(s).values()))(SCORES)
    np.testing.assert_array_equal(gradient, np.zeros((6, 9)))
