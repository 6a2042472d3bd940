"""Objectives: losses composed over encoder outputs; a new method is one file here and a config."""

from tvdim_jax.objectives.amdim import make_amdim_objective
from tvdim_jax.objectives.answers import answer_objective
from tvdim_jax.objectives.base import Objective
from tvdim_jax.objectives.clip import make_clip_objective
from tvdim_jax.objectives.image_pairs import make_assignment_objective, pair_objective
from tvdim_jax.objectives.lmi import make_lmi_objective
from tvdim_jax.objectives.srcl import make_srcl_objective
from tvdim_jax.objectives.tvdim import make_tvdim_objective

__all__ = [
    "Objective", "answer_objective", "make_amdim_objective", "make_assignment_objective",
    "make_clip_objective", "make_lmi_objective", "make_srcl_objective", "make_tvdim_objective",
    "pair_objective",
]  # fmt: skip
