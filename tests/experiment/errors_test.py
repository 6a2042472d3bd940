"""Which errors end a command with which exit code."""

import pytest

from tvdim_jax.config import ConfigError
from tvdim_jax.data.errors import BadDataError, BadExample, DataError
from tvdim_jax.experiment.errors import BAD_INPUT, FAILED_RUN
from tvdim_jax.experiment.evaluation import EvaluationError
from tvdim_jax.train.checkpoint import CheckpointError
from tvdim_jax.train.loop import NonFiniteError


@pytest.mark.parametrize("error", [ConfigError, DataError, CheckpointError])
def test_what_the_user_can_mend_is_bad_input(error):
    assert issubclass(error, BAD_INPUT)
    assert not issubclass(error, FAILED_RUN)


@pytest.mark.parametrize("error", [BadDataError, NonFiniteError, EvaluationError])
def test_what_stops_a_run_is_a_failure(error):
    assert issubclass(error, FAILED_RUN)
    assert not issubclass(error, BAD_INPUT)


@pytest.mark.parametrize("error", [ValueError, RuntimeError, KeyError, BadExample])
def test_what_we_did_not_foresee_shows_its_traceback(error):
    assert not issubclass(error, (*BAD_INPUT, *FAILED_RUN))
