import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from tvdim_jax.models.batch_norm import batch_norm

SHAPE = (8, 2, 3, 5)


def setting(**options):
    rng = np.random.default_rng(0)
    x = rng.normal(2.0, 3.0, SHAPE).astype(np.float32)
    module = batch_norm(dtype=jnp.float32, name=None, **options)
    like = jax.eval_shape(module.init, jax.random.key(0), x)
    variables = jax.tree.map(lambda a: rng.uniform(0.5, 2, a.shape).astype(np.float32), like)
    return module, variables, x


@pytest.mark.parametrize("unbiased_variance", [False, True])
def test_training_step_in_numpy(unbiased_variance):
    module, variables, x = setting(train=True, unbiased_variance=unbiased_variance)
    y, moved = module.apply(variables, x, mutable=["batch_stats"])
    params, old, new = variables["params"], variables["batch_stats"], moved["batch_stats"]
    flat = x.reshape(-1, 5).astype(np.float64)
    mean = flat.mean(0)
    wanted = (x - mean) / np.sqrt(flat.var(0) + 1e-5) * params["scale"] + params["bias"]
    np.testing.assert_allclose(y, wanted, atol=1e-5)
    np.testing.assert_allclose(new["mean"], 0.9 * old["mean"] + 0.1 * mean, rtol=1e-6)
    variance = flat.var(0, ddof=int(unbiased_variance))
    np.testing.assert_allclose(new["var"], 0.9 * old["var"] + 0.1 * variance, rtol=1e-6)


def test_evaluation_uses_the_running_statistics_and_keeps_them():
    module, variables, x = setting(train=False, unbiased_variance=True)
    y, moved = module.apply(variables, x, mutable=["batch_stats"])
    params, stats = variables["params"], variables["batch_stats"]
    wanted = (x - stats["mean"]) / np.sqrt(stats["var"] + 1e-5) * params["scale"] + params["bias"]
    np.testing.assert_allclose(y, wanted, atol=1e-5)
    jax.tree.map(np.testing.assert_array_equal, moved["batch_stats"], stats)


def test_initial_statistics_do_not_see_the_images():
    module, _, x = setting(train=True, unbiased_variance=True)
    stats = module.init(jax.random.key(0), x)["batch_stats"]
    np.testing.assert_array_equal(stats["mean"], 0)
    np.testing.assert_array_equal(stats["var"], 1)


def test_training_on_one_position_is_refused():
    module, variables, _ = setting(train=True, unbiased_variance=True)
    message = "an input of shape (1, 1, 1, 5) has one position; wanted at least 2 when training"
    with pytest.raises(ValueError, match=re.escape(message)):
        module.apply(variables, np.ones((1, 1, 1, 5), np.float32), mutable=["batch_stats"])


def test_over_8_devices_the_batch_counts_as_one():
    module, variables, x = setting(train=True, unbiased_variance=True)
    mesh = jax.make_mesh((8,), ("data",), axis_types=(AxisType.Auto,))
    apply = jax.jit(lambda v, x: module.apply(v, x, mutable=["batch_stats"]))
    one = apply(variables, x)
    eight = apply(variables, jax.device_put(x, NamedSharding(mesh, PartitionSpec("data"))))
    assert len(eight[0].sharding.device_set) == 8
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-6), eight, one)
