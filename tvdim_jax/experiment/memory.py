"""What only training remembers: the frozen teacher, an average of the parameters, a queue."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict

from tvdim_jax.config import uses_fusion
from tvdim_jax.experiment.teacher import Teacher
from tvdim_jax.objectives.momentum import empty_queue

_EMBEDDING_BRANCHES = ("image", "text", "image_projection", "text_projection")
_WORD_BRANCHES = ("fusion", "word_predictor")


def with_memory(
    config: ConfigDict,
    params: Mapping[str, Any],
    variables: Mapping[str, Any],
    teacher: Teacher | None,
) -> dict[str, Any]:
    """The variables that training starts with; encoders need none of what is added.

    Args:
      config: of the run.
      params: those that training starts with.
      variables: of the encoders.
      teacher: a `Teacher`, or None.

    Returns:
      `variables` with "teacher", its trees; of SRCL "queue", empty; and where a queue or the
      distillation wants momentum encoders "average", a copy of their parameters.
    """
    memory = dict(variables)
    if teacher is not None:
        memory["teacher"] = teacher.trees
    options = config.objective
    if not uses_fusion(config):
        return memory
    if options.queue_size:
        width = _teacher_width(teacher)
        memory["queue"] = empty_queue(options.queue_size, config.model.embedding_width, width)
    if options.queue_size or options.distillation:
        words = _WORD_BRANCHES if options.distillation else ()
        # Copies, not the same arrays: a donated buffer may occur only once.
        memory["average"] = {
            name: jax.tree.map(jnp.copy, params[name]) for name in (*_EMBEDDING_BRANCHES, *words)
        }
    return memory


def _teacher_width(teacher: Teacher | None) -> int | None:
    if teacher is None:
        return None
    width: int = teacher.trees["params"]["image_projection"]["dense"]["bias"].size
    return width
