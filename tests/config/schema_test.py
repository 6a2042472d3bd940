"""The defaults, and fields by their full names."""

from ml_collections import ConfigDict

from tvdim_jax import config
from tvdim_jax.config import flat_fields


def test_defaults_pass_their_own_check_and_are_new_each_time():
    first, second = config.default(), config.default()
    config.check(first)
    first.train.num_steps = 7
    assert second.train.num_steps != 7


def test_flat_fields_of_dicts_and_configs():
    fields = {"seed": 1, "train": {"num_steps": 2, "more": {"x": (3,)}}}
    flat = {"seed": 1, "train.num_steps": 2, "train.more.x": (3,)}
    assert flat_fields(fields) == flat_fields(ConfigDict(fields)) == flat
