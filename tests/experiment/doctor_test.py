"""Each check when all is well and when it is not."""

import json
from types import SimpleNamespace

import jax
import numpy as np
import pytest

from tests.reference.tiny_run import tiny_config
from tvdim_jax.experiment import doctor

TRIAL = SimpleNamespace(config=tiny_config())


def test_versions(monkeypatch):
    found = doctor.versions()
    assert found.status == "ok"
    assert found.numbers["jax"] == jax.__version__
    assert f"jax {jax.__version__}" in found.says
    monkeypatch.setattr(doctor, "PACKAGES", ("jax", "no-such-package"))
    missing = doctor.versions()
    assert missing.status == "failed"
    assert missing.says == "not installed: no-such-package; install with pip install -e ."


def test_devices_and_memory(monkeypatch):
    found = doctor.devices()
    assert (found.status, found.numbers["local"], found.numbers["platform"]) == ("ok", 8, "cpu")
    assert found.says.startswith("8 x cpu (cpu) in 1 process, ")
    monkeypatch.delenv("JAX_PLATFORMS")
    monkeypatch.setattr(doctor.shutil, "which", lambda name: f"/usr/bin/{name}")
    unused = doctor.devices()
    assert unused.status == "failed"
    assert unused.says.startswith("a GPU is here, and jax does not use it: pip install")
    assert doctor.memory().numbers["host_bytes"] > 2**28


@pytest.mark.parametrize(
    ("scale", "status", "text"), [(1.001, "ok", "1 against 8: loss"), (0.5, "failed", "report th")]
)
def test_the_loss_on_all_devices(monkeypatch, scale, status, text):
    def loss_and_gradient(trial, devices):
        return 2.0, {"w": np.ones(4) * (1 if len(devices) == 1 else scale)}

    monkeypatch.setattr(doctor, "loss_and_gradient", loss_and_gradient)
    found = doctor.invariance(TRIAL)
    assert found.status == status
    assert text in found.says
    assert found.numbers["gradient_difference"] == pytest.approx(abs(1 - scale), rel=1e-3)
    monkeypatch.setattr(jax, "local_devices", lambda: jax.devices()[:1])
    alone = doctor.invariance(TRIAL)
    assert alone.status == "skipped"
    assert alone.says.endswith(
        "XLA_FLAGS=--xla_force_host_platform_device_count=8 splits this CPU into 8"
    )


@pytest.mark.parametrize(("share", "status"), [(0.75, "ok"), (0.25, "failed")])
def test_memorising(monkeypatch, share, status):
    monkeypatch.setattr(doctor, "memorise", lambda trial, wanted, report: (share, 1 / 8, 50))
    found = doctor.memorising(TRIAL, print)
    assert (found.name, found.status) == ("memorises 8 pairs", status)
    assert found.says.startswith(f"{share:.0%} of the texts find their image after 50 updates, ch")
    assert ("wanted 50%: if it still rises, give it more --steps" in found.says) == (share < 0.5)
    for changes in (
        {"objective__name": "amdim"},
        {"objective__name": "vqa", "data__source": "vqa"},
    ):
        no_pairs = SimpleNamespace(config=tiny_config(**changes))
        skipped = doctor.memorising(no_pairs, print)
        assert skipped.status == "skipped"
        assert skipped.says == "the config compares no image with a text"


@pytest.mark.parametrize("with_config", [True, False])
def test_all_of_them_in_order(monkeypatch, with_config):
    asked = []

    def open_trial(config, num_pairs, num_steps):
        asked.append((num_pairs, num_steps))
        return TRIAL

    monkeypatch.setattr(doctor, "open_trial", open_trial)
    monkeypatch.setattr(doctor, "loss_and_gradient", lambda *_: (1.0, {"w": np.ones(2)}))
    monkeypatch.setattr(doctor, "memorise", lambda trial, wanted, report: (1.0, 0.1, 7))
    checks = list(
        doctor.examine(
            TRIAL.config, with_config=with_config, num_pairs=12, num_steps=9, report=print
        )
    )
    names = ["versions", "devices", "memory", "loss on 1 and on all devices", "memorises 8 pairs"]
    assert [check.name for check in checks] == names[: 4 + with_config]
    assert asked == [(16, 9)]  # 12, rounded up to 8 devices
    assert json.loads(json.dumps([check._asdict() for check in checks]))[0]["status"] == "ok"
