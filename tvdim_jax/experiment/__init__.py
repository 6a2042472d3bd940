"""The composition root: config in; data, model, objective, training and evaluation out."""

from tvdim_jax.experiment.trace import trace

__all__ = ["trace"]
