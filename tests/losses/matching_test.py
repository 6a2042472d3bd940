"""Losses of labels, draws of negatives and hidden words, against loops and expected shares."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.reference.losses import quick_jit
from tvdim_jax.losses.matching import (
    draw_negatives,
    label_accuracy,
    label_loss,
    mask_tokens,
    soft_label_loss,
)

KEY = jax.random.key(3)
RNG = np.random.default_rng(0)
LOGITS, TARGET = RNG.normal(size=(4, 5, 7)), RNG.normal(size=(4, 5, 7))
LABELS, WHERE = RNG.integers(0, 7, (4, 5)), RNG.random((4, 5)) < 0.6


def probs_of(logits):
    exponentials = np.exp(logits)
    return exponentials / exponentials.sum(-1, keepdims=True)


def test_label_losses_equal_the_loop(x64):
    hard, soft, right = [], [], []
    for place in zip(*np.nonzero(WHERE), strict=True):
        probs = probs_of(LOGITS[place])
        hard.append(-np.log(probs[LABELS[place]]))
        soft.append(-np.sum(probs_of(TARGET[place]) * np.log(probs)))
        right.append(np.argmax(LOGITS[place]) == LABELS[place])
    got = label_loss(LOGITS, LABELS, where=WHERE)
    np.testing.assert_allclose(got, np.mean(hard), rtol=1e-12)
    got = soft_label_loss(LOGITS, TARGET, where=WHERE)
    np.testing.assert_allclose(got, np.mean(soft), rtol=1e-12)
    np.testing.assert_allclose(label_accuracy(LOGITS, LABELS, where=WHERE), np.mean(right), 1e-6)


def test_gradients_are_probabilities_less_their_targets(x64):
    def value(logits, target):
        return label_loss(logits, LABELS, where=WHERE) + soft_label_loss(
            logits, target, where=WHERE
        )

    by_logits, by_target = quick_jit(jax.grad(value, (0, 1)))(LOGITS, TARGET)
    expected = 2 * probs_of(LOGITS) - np.eye(7)[LABELS] - probs_of(TARGET)
    expected = expected * WHERE[..., None] / WHERE.sum()
    np.testing.assert_allclose(by_logits, expected, atol=1e-14)
    assert not np.any(by_target)


@pytest.mark.parametrize("hole", [np.nan, np.inf])
def test_what_does_not_count_may_be_anything(hole):
    logits = jnp.asarray(np.where(WHERE[..., None], LOGITS, hole), jnp.bfloat16)
    nowhere = np.zeros_like(WHERE)
    for where, count in [(WHERE, True), (nowhere, False)]:
        for loss, target in [(label_loss, LABELS), (soft_label_loss, logits)]:
            value, gradient = jax.value_and_grad(loss)(logits, target, where=where)
            assert value.dtype == jnp.float32
            assert np.isfinite(value)
            assert (float(value) > 0) == count
            assert np.all(np.isfinite(gradient))
            assert np.any(gradient != 0) == count
        assert np.isfinite(label_accuracy(logits, LABELS, where=where))


def test_large_logits_stay_finite():
    logits = jnp.array([[1e4, -1e4], [-1e4, 1e4]])
    value = label_loss(logits, jnp.array([0, 0]), where=jnp.array([True, True]))
    assert float(value) == 1e4


def test_negatives_are_drawn_as_often_as_their_softmax_says():
    logits = jnp.asarray(RNG.normal(size=(1, 2, 4)), jnp.float32)
    allowed = jnp.array([[[True, True, False, True], [False, True, True, True]]])
    keys = jax.vmap(partial(jax.random.fold_in, KEY))(jnp.arange(4000))
    places, found = jax.jit(jax.vmap(lambda key: draw_negatives(key, logits, allowed)))(keys)
    assert np.all(found)
    assert places.dtype == jnp.int32
    for i in range(2):
        expected = probs_of(np.where(allowed[0, i], logits[0, i], -np.inf))
        counts = np.bincount(places[:, 0, i], minlength=4) / 4000
        assert not np.any(counts[~np.asarray(allowed[0, i])])
        np.testing.assert_allclose(counts, expected, atol=0.03)
    assert np.any(places[:, 0, 0] != places[:, 0, 1])


def test_a_row_without_candidate_says_so_and_nothing_flows_back():
    allowed = jnp.array([[[False, True], [False, False]]])
    logits = jnp.zeros((1, 2, 2))
    places, found = draw_negatives(KEY, logits, allowed)
    assert found.tolist() == [[True, False]]
    assert places.tolist() == [[1, 0]]
    gradient = jax.grad(lambda x: draw_negatives(KEY, x, allowed)[0].sum().astype(float))(logits)
    assert not np.any(gradient)


def mask(key, ids, valid, **options):
    given = {"vocab_size": 50, "mask_id": 4, "never": (3,)}
    return mask_tokens(key, ids, valid, **given | options)


def test_shares_of_hidden_words():
    rng = np.random.default_rng(1)
    ids = rng.integers(5, 50, (4000, 12)).astype(np.int32)
    ids[:, 0], ids[:, 6] = 2, 3
    valid = np.broadcast_to(np.arange(12) < 10, ids.shape)
    got, masked = map(np.asarray, jax.jit(partial(mask, rate=0.3))(KEY, ids, valid))
    assert not np.any(masked[:, [0, 6, 10, 11]])
    assert got.dtype == np.int32
    np.testing.assert_array_equal(got[~masked], ids[~masked])
    words = [j for j in range(10) if j not in (0, 6)]
    np.testing.assert_allclose(masked[:, words].mean(0), 0.3, atol=0.03)  # each by itself
    new, old = got[masked], ids[masked]
    np.testing.assert_allclose(np.mean(new == 4), 0.8 + 0.1 / 50, atol=0.015)
    np.testing.assert_allclose(np.mean(new == old), 0.1 + 0.1 / 50, atol=0.015)
    drawn = new[(new != 4) & (new != old)]
    assert set(drawn) == set(range(50)) - {4}  # of the whole vocabulary
    assert np.bincount(drawn).max() < 3 * len(drawn) / 49


def test_draws_depend_on_key_and_row_alone():
    ids = np.tile(np.arange(5, 17, dtype=np.int32), (8, 1))
    valid = np.ones(ids.shape, bool)
    whole, few = mask(KEY, ids, valid, rate=0.5), mask(KEY, ids[:3], valid[:3], rate=0.5)
    np.testing.assert_array_equal(whole.token_ids[:3], few.token_ids)
    assert len({tuple(row) for row in np.asarray(whole.token_ids).tolist()}) == 8
    other = mask(jax.random.key(4), ids, valid, rate=0.5)
    assert np.any(other.masked != whole.masked)


@pytest.mark.parametrize(("rate", "count"), [(0.0, 0), (1.0, 5)])
def test_none_or_all(rate, count):
    ids, valid = np.full((3, 6), 7, np.int32), np.ones((3, 6), bool)
    assert np.asarray(mask(KEY, ids, valid, rate=rate).masked).sum(1).tolist() == [count] * 3


def test_eight_devices_draw_what_one_draws():
    mesh = jax.make_mesh((8,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
    split = jax.NamedSharding(mesh, jax.P("data"))
    ids, valid = np.full((16, 9), 7, np.int32), np.ones((16, 9), bool)
    logits, allowed = RNG.normal(size=(8, 2, 3)).astype(np.float32), np.ones((8, 2, 3), bool)

    def draw(ids, valid, logits, allowed):
        return mask(KEY, ids, valid, rate=0.5), draw_negatives(KEY, logits, allowed)

    inputs = ids, valid, logits, allowed
    many = jax.jit(draw, in_shardings=split, out_shardings=split)(*inputs)
    jax.tree.map(np.testing.assert_array_equal, many, draw(*inputs))


def test_options_out_of_range_say_so():
    ids, valid = np.zeros((2, 3), np.int32), np.ones((2, 3), bool)
    with pytest.raises(ValueError, match=r"rate: got 1.5, wanted 0\.\.1"):
        mask(KEY, ids, valid, rate=1.5)
    with pytest.raises(ValueError, match="mask_id: got 50, wanted one of the 50 ids"):
        mask(KEY, ids, valid, mask_id=50)
