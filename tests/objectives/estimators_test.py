"""Each estimator is the loss of its name, minimised."""

from typing import get_args

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tvdim_jax import losses
from tvdim_jax.critics import dot
from tvdim_jax.objectives.estimators import Estimator, make_estimator


def features():
    rng = np.random.default_rng(3)
    return tuple(jnp.asarray(rng.normal(size=(n, 4)), jnp.float32) for n in (5, 5))


def value_and_gradient(name, *, symmetric=False):
    loss = make_estimator(name, symmetric=symmetric)
    return jax.value_and_grad(lambda x, y: loss(dot, x, y), (0, 1))(*features())


def of_scores(function):
    return jax.value_and_grad(lambda x, y: function(x @ y.T), (0, 1))(*features())


EXPECTED = {
    "dv": lambda s: -losses.donsker_varadhan_lower_bound(s),
    "info_nce": lambda s: losses.info_nce_loss(s, symmetric=False),
    "jsd": lambda s: -losses.jsd_objective(s),
    "released_infonce": losses.released_lmi_infonce_loss,
}


@pytest.mark.parametrize("name", EXPECTED)
def test_value_and_gradient(name):
    got, expected = value_and_gradient(name), of_scores(EXPECTED[name])
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6), got, expected)


def test_symmetric_info_nce_has_both_directions():
    got = value_and_gradient("info_nce", symmetric=True)[0]
    np.testing.assert_allclose(got, of_scores(losses.info_nce_loss)[0], rtol=1e-6)


def test_smile_shows_its_bound_and_learns_by_jsd():
    value, gradient = value_and_gradient("smile")
    np.testing.assert_allclose(value, -of_scores(losses.smile_lower_bound)[0], rtol=1e-5)
    for got, expected in zip(gradient, value_and_gradient("jsd")[1], strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-7)


def test_another_name_says_which_there_are():
    assert {*EXPECTED, "smile"} == {*get_args(Estimator)}
    with pytest.raises(ValueError, match="estimator: got 'mine', wanted one of dv, info_nce, jsd"):
        make_estimator("mine", symmetric=True)
