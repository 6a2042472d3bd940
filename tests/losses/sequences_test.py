import jax
import jax.numpy as jnp
import numpy as np

from tests.reference.losses import quick_jit
from tvdim_jax.losses.sequences import sequence_log_likelihood

IDS = np.array([[2, 4, 1, 3], [2, 3, 0, 0], [2, 0, 0, 0]])
VALID = np.array([[1, 1, 1, 1], [1, 1, 0, 0], [1, 0, 0, 0]], bool)


def test_by_hand():
    logits = np.log(np.array([[[0.5, 0.25, 0.25], [0.1, 0.2, 0.7], [1, 1, 1]]]))
    ids = np.array([[0, 1, 2]])
    found = sequence_log_likelihood(logits, ids, np.ones((1, 3), bool))
    np.testing.assert_allclose(found, [np.log(0.25) + np.log(0.7)], rtol=1e-6)


def test_equals_a_loop_and_padding_has_no_say():
    logits = np.random.default_rng(0).normal(size=(3, 4, 5)).astype(np.float32) * 5
    wanted = np.zeros(3)
    for i in range(3):
        for t in range(1, 4):
            if VALID[i, t]:
                row = logits[i, t - 1].astype(float)
                wanted[i] += row[IDS[i, t]] - np.log(np.exp(row).sum())
    np.testing.assert_allclose(sequence_log_likelihood(logits, IDS, VALID), wanted, rtol=1e-5)
    assert wanted[2] == 0
    spoilt = jnp.where(np.roll(VALID, -1, 1)[..., None] & VALID[..., None], logits, jnp.nan)
    both = jax.value_and_grad(lambda x: sequence_log_likelihood(x, IDS, VALID).sum())
    value, gradient = quick_jit(both)(spoilt)
    np.testing.assert_allclose(value, wanted.sum(), rtol=1e-5)
    assert np.isfinite(gradient).all()
    assert not np.any(gradient[2])
    pairs = sequence_log_likelihood(logits[None], IDS[None], VALID[None])
    np.testing.assert_allclose(pairs[0], wanted, rtol=1e-5)


def test_bf16_is_summed_in_float32_and_large_scores_stay_finite():
    logits = jnp.zeros((1, 4, 5), jnp.bfloat16).at[:, :, 0].set(1e4)
    found = sequence_log_likelihood(logits, IDS[:1], VALID[:1])
    assert found.dtype == jnp.float32
    np.testing.assert_allclose(found, -3 * float(logits[0, 0, 0]), rtol=1e-6)
