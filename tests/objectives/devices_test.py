"""Losses over the devices of a mesh, and the compiled steps of the shipped objectives."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType

from tests.reference.tiny_run import tiny_config
from tvdim_jax.experiment.model import make_model
from tvdim_jax.experiment.objective import batch_shapes, make_loss_fn
from tvdim_jax.experiment.start import init_state, optimizer_of
from tvdim_jax.objectives.devices import over_devices
from tvdim_jax.train import sharding
from tvdim_jax.train.step import make_train_step


def weighted_sum(params, rows, *, axis_name):
    total = params["weight"] * jnp.sum(jnp.square(rows["x"])) + jnp.sum(rows["y"])
    return {"loss": total if axis_name is None else jax.lax.psum(total, axis_name)}


def test_all_rows_count_on_any_number_of_devices():
    params = {"weight": jnp.float32(3.0)}
    rows = {"x": jnp.arange(16.0).reshape(8, 2), "y": jnp.ones(8)}
    mesh = jax.make_mesh((8,), ("rows",), axis_types=(AxisType.Auto,))
    squares = sum(i * i for i in range(16))
    for on in (None, mesh):

        def loss(params, rows, on=on):
            return over_devices(weighted_sum, on, params, rows)["loss"]

        value, (of_params, of_rows) = jax.jit(jax.value_and_grad(loss, (0, 1)))(params, rows)
        assert float(value) == 3 * squares + 8
        assert float(of_params["weight"]) == squares
        np.testing.assert_array_equal(of_rows["x"], 6 * rows["x"])


@pytest.mark.parametrize("name", ["amdim", "tvdim"])
def test_the_compiled_step_of_eight_devices_gathers_nothing(name):
    config = tiny_config(objective__name=name, train__batch_size=16)
    model, tx, mesh = make_model(config, 100), optimizer_of(config), sharding.make_mesh()
    step = make_train_step(make_loss_fn(config, model, mesh), tx)
    state = jax.eval_shape(lambda: init_state(config, model, tx))
    lowered = sharding.compile_step(step, mesh).lower(state, batch_shapes(config))
    program = lowered.compile({"xla_backend_optimization_level": 0}).as_text()
    assert re.search(r"collective-permute(-start)?\(", program)
    assert not re.findall(r".*\sall-gather(?:-start)?\(.*", program)
