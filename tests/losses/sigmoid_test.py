"""Hand values of the sigmoid loss; the battery has the rest."""

import math

import jax.numpy as jnp
import numpy as np

from tvdim_jax.losses import sigmoid_pair_loss


def softplus(value):
    return math.log(1 + math.exp(value))


def test_hand_value():
    scores = jnp.array([[2.0, -1.0], [0.5, 1.0]])
    wanted = (softplus(-2) + softplus(-1) + softplus(0.5) + softplus(-1)) / 2
    np.testing.assert_allclose(sigmoid_pair_loss(scores), wanted, rtol=1e-6)


def test_several_positives_are_summed_and_anchors_without_one_left_out():
    scores = jnp.array([[2.0, -1.0, 0.0], [9.0, 9.0, 9.0]])
    positive = jnp.array([[True, True, False], [False, False, False]])
    wanted = softplus(-2) + softplus(1) + softplus(0)
    np.testing.assert_allclose(sigmoid_pair_loss(scores, positive_mask=positive), wanted, rtol=1e-6)
