"""All tasks by their names, in the order of `config.TASKS`."""

from collections.abc import Mapping

from tvdim_jax.experiment.tasks.base import Task
from tvdim_jax.experiment.tasks.false_negatives import FALSE_NEGATIVES
from tvdim_jax.experiment.tasks.few_shot import FEW_SHOT
from tvdim_jax.experiment.tasks.findings import FINDINGS
from tvdim_jax.experiment.tasks.finetune import FINETUNE
from tvdim_jax.experiment.tasks.label_fractions import LABEL_FRACTIONS
from tvdim_jax.experiment.tasks.labels import KNN, LINEAR_PROBE
from tvdim_jax.experiment.tasks.mi import MI
from tvdim_jax.experiment.tasks.nlvr import NLVR
from tvdim_jax.experiment.tasks.ordinal import ORDINAL
from tvdim_jax.experiment.tasks.pointing import POINTING
from tvdim_jax.experiment.tasks.reranking import RERANKING
from tvdim_jax.experiment.tasks.retrieval import RETRIEVAL
from tvdim_jax.experiment.tasks.sgd_probe import SGD_PROBE
from tvdim_jax.experiment.tasks.vqa import VQA
from tvdim_jax.experiment.tasks.zero_shot import ZERO_SHOT

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
    "few_shot": FEW_SHOT,
    "zero_shot": ZERO_SHOT,
    "sgd_probe": SGD_PROBE,
    "mi": MI,
    "vqa": VQA,
    "nlvr": NLVR,
    "false_negatives": FALSE_NEGATIVES,
}
