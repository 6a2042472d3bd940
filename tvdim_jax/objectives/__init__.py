"""Objectives: losses composed over encoder outputs; a new method is one file here and a config."""

from tvdim_jax.objectives.amdim import Objective, make_amdim_objective
from tvdim_jax.objectives.tvdim import make_tvdim_objective

__all__ = ["Objective", "make_amdim_objective", "make_tvdim_objective"]
