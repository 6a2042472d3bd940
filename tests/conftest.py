"""Eight fake CPU devices, cheap compilation and strict numerics for every test."""

import os

os.environ["JAX_PLATFORMS"] = "cpu"
os.environ["XLA_FLAGS"] = (
    "--xla_force_host_platform_device_count=8 --xla_backend_optimization_level=1"
)

import absl.flags
import jax
import pytest

jax.config.update("jax_numpy_rank_promotion", "raise")
absl.flags.FLAGS.mark_as_parsed()  # grain reads absl flags


@pytest.fixture
def x64():
    """Double precision for one test."""
    with jax.enable_x64(True):
        yield
