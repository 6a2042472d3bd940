"""The verbs of the console script `tvdim`: train, evaluate, data."""

from tvdim_jax.cli.entry import main

__all__ = ["main"]
