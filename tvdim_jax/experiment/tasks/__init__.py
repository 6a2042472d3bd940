"""The tasks of an evaluation, each a pure function of one context.

A new task is a file here, a line in `catalogue.TASK_OF` and its name in `config.TASKS`.
"""

from tvdim_jax.experiment.tasks.base import Context, Examples, Images, Outcome, Result, Task
from tvdim_jax.experiment.tasks.catalogue import TASK_OF

__all__ = ["TASK_OF", "Context", "Examples", "Images", "Outcome", "Result", "Task"]
