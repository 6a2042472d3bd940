"""The tasks of an evaluation, each a pure function of one context.

A new task is a file here, a line in `TASK_OF` and its name in `config.TASKS`.
"""

from collections.abc import Mapping

from tvdim_jax.experiment.tasks.base import Context, Examples, Images, Outcome, Result, Task
from tvdim_jax.experiment.tasks.findings import FINDINGS
from tvdim_jax.experiment.tasks.finetune import FINETUNE
from tvdim_jax.experiment.tasks.label_fractions import LABEL_FRACTIONS
from tvdim_jax.experiment.tasks.labels import KNN, LINEAR_PROBE
from tvdim_jax.experiment.tasks.ordinal import ORDINAL
from tvdim_jax.experiment.tasks.pointing import POINTING
from tvdim_jax.experiment.tasks.reranking import RERANKING
from tvdim_jax.experiment.tasks.retrieval import RETRIEVAL

TASK_OF: Mapping[str, Task] = {
    "linear_probe": LINEAR_PROBE,
    "knn": KNN,
    "retrieval": RETRIEVAL,
    "reranking": RERANKING,
    "findings": FINDINGS,
    "label_fractions": LABEL_FRACTIONS,
    "ordinal": ORDINAL,
    "pointing": POINTING,
    "finetune": FINETUNE,
}

__all__ = ["TASK_OF", "Context", "Examples", "Images", "Outcome", "Result", "Task"]
