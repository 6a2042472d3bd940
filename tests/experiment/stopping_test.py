"""SIGTERM and SIGINT are noted, and whoever handled them before does so again."""

import os
import signal

import jax
import pytest

from tvdim_jax.experiment.stopping import stop_on_signal


def test_a_signal_is_told_and_the_handlers_come_back():
    before = [signal.getsignal(each) for each in (signal.SIGTERM, signal.SIGINT)]
    with stop_on_signal() as told_to_stop:
        assert not told_to_stop()
        os.kill(os.getpid(), signal.SIGTERM)
        assert told_to_stop()
        os.kill(os.getpid(), signal.SIGTERM)  # a second one does not kill the save
    assert [signal.getsignal(each) for each in (signal.SIGTERM, signal.SIGINT)] == before


@pytest.fixture
def interruptible():
    """The usual handler, which a background job does not have."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
def test_a_second_interrupt_interrupts():
    before = signal.getsignal(signal.SIGINT)
    with stop_on_signal() as told_to_stop:
        os.kill(os.getpid(), signal.SIGINT)
        assert told_to_stop()
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before


def test_the_handlers_come_back_after_an_error():
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(RuntimeError, match="in the loop"), stop_on_signal():
        raise RuntimeError("in the loop")
    assert signal.getsignal(signal.SIGTERM) is before


def test_several_processes_leave_the_signals_to_jax(monkeypatch):
    monkeypatch.setattr(jax, "process_count", lambda: 2)
    before = signal.getsignal(signal.SIGTERM)
    with stop_on_signal() as told_to_stop:
        assert signal.getsignal(signal.SIGTERM) is before
        assert not told_to_stop()
