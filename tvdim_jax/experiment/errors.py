"""The errors that a command may end with, gathered from the rooms that raise them."""

from tvdim_jax.config import ConfigError
from tvdim_jax.data.errors import BadDataError, DataError
from tvdim_jax.experiment.evaluation import EvaluationError
from tvdim_jax.train.checkpoint import CheckpointError
from tvdim_jax.train.loop import NonFiniteError

# What the user gave cannot be used; found before any update.
BAD_INPUT = (ConfigError, DataError, CheckpointError)
# The run began and cannot go on.
FAILED_RUN = (BadDataError, NonFiniteError, EvaluationError)
