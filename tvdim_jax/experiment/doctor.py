"""What can be wrong before a run: the installation, the machine, the loss on it, the config."""

import os
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from importlib import metadata
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict

from tvdim_jax.config import compares_texts
from tvdim_jax.experiment.trial import (
    Trial,
    difference,
    loss_and_gradient,
    memorise,
    open_trial,
)

PACKAGES = (
    *("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "grain", "numpy", "scipy", "pillow"),
    *("tokenizers", "safetensors", "ml-collections"),
)
# Of float32 and of bfloat16: relative differences of loss and gradient that rounding may make.
ROUNDING: Mapping[str, tuple[float, float]] = {"float32": (1e-3, 1e-2), "bfloat16": (1e-2, 1e-1)}
MEMORISED = 0.5  # of the texts rank their own image first, under the augmentation of the config
GIB = 2**30


class Check(NamedTuple):
    """One row of the table; `_asdict()` is JSON.

    Attributes:
      name: what was looked at.
      status: "skipped" where it does not apply here.
      says: what was found, and in a failed one what to do.
      numbers: behind it.
    """

    name: str
    status: Literal["ok", "failed", "skipped"]
    says: str
    numbers: dict[str, Any]


def examine(
    config: ConfigDict,
    *,
    with_config: bool,
    num_pairs: int,
    num_steps: int,
    report: Callable[[str], None],
) -> Iterator[Check]:
    """All checks, one after the other.

    Args:
      config: whose loss is compared; where the user named none, a small one.
      with_config: the user named it: its data are read and its model must memorise.
      num_pairs: of the loss and of the memory; rounded up to a multiple of the devices.
      num_steps: updates at most.
      report: gets lines of progress.

    Raises:
      ConfigError, DataError: as for training.
    """
    yield versions()
    yield devices()
    yield memory()
    count = jax.local_device_count()
    trial = open_trial(config, -(-num_pairs // count) * count, num_steps)
    yield invariance(trial)
    if with_config:
        yield memorising(trial, report)


def versions() -> Check:
    """The packages that numbers depend on; one that is not there fails."""
    found: dict[str, str | None] = {"python": sys.version.split()[0]}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = None
    missing = [name for name, version in found.items() if version is None]
    if missing:
        says = f"not installed: {', '.join(missing)}; install with pip install -e ."
        return Check("versions", "failed", says, found)
    return Check("versions", "ok", ", ".join(f"{n} {v}" for n, v in found.items()), found)


def devices() -> Check:
    """The local devices, each of which adds up some numbers."""
    local = jax.local_devices()
    platform = local[0].platform
    numbers = {
        "platform": platform,
        "kind": local[0].device_kind,
        "local": len(local),
        "processes": jax.process_count(),
        "cpus": os.cpu_count(),
    }
    wrong = [
        str(each)
        for each in local
        if float(jnp.sum(jax.device_put(jnp.arange(1000.0), each))) != 499500
    ]
    if wrong:
        return Check("devices", "failed", f"cannot add up on {', '.join(wrong)}", numbers)
    says = (
        f"{len(local)} x {local[0].device_kind} ({platform}) in {jax.process_count()} process, "
        f"{os.cpu_count()} CPU cores"
    )
    if platform == "cpu" and shutil.which("nvidia-smi") and not os.environ.get("JAX_PLATFORMS"):
        says = 'a GPU is here, and jax does not use it: pip install -e ".[cuda13]"'
        return Check("devices", "failed", says, numbers)
    return Check("devices", "ok", says, numbers)


def memory() -> Check:
    """Of the host, and of each device that tells."""
    host = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    parts, numbers = [f"host {host / GIB:.1f} GiB"], {"host_bytes": host}
    for each in jax.local_devices():
        stats = each.memory_stats() or {}
        if "bytes_limit" in stats:
            limit, used = stats["bytes_limit"], stats.get("bytes_in_use", 0)
            numbers[f"device_{each.id}_bytes"] = limit
            parts.append(f"{each} {limit / GIB:.1f} GiB for jax, {used / GIB:.1f} in use")
    return Check("memory", "ok", "; ".join(parts), numbers)


def invariance(trial: Trial) -> Check:
    """Loss and gradient of one batch on 1 device and on all local ones."""
    name, local = "loss on 1 and on all devices", jax.local_devices()
    if len(local) == 1:
        says = "there is 1 device here"
        if local[0].platform == "cpu":
            says += "; XLA_FLAGS=--xla_force_host_platform_device_count=8 splits this CPU into 8"
        return Check(name, "skipped", says, {"devices": 1})
    found = [loss_and_gradient(trial, each) for each in (local[:1], local)]
    of_loss, of_gradient = difference(*found)
    numbers = {
        "devices": len(local),
        "loss_of_1": found[0][0],
        "loss_of_all": found[1][0],
        "loss_difference": of_loss,
        "gradient_difference": of_gradient,
    }
    limits = ROUNDING[trial.config.model.dtype]
    says = (
        f"1 against {len(local)}: loss {found[0][0]:.6g} and {found[1][0]:.6g}, gradients differ "
        f"by {of_gradient:.1e} of their norm"
    )
    if of_loss <= limits[0] and of_gradient <= limits[1]:
        return Check(name, "ok", says, numbers)
    return Check(
        name,
        "failed",
        f"{says}, wanted at most {limits[1]:g}: train on 1 device, and report this with --json",
        numbers,
    )


def memorising(trial: Trial, report: Callable[[str], None]) -> Check:
    """Whether the model of the config learns its few pairs by heart."""
    num_pairs = trial.config.train.batch_size
    name = f"memorises {num_pairs} pairs"
    if not compares_texts(trial.config):
        says = "the config compares no image with a text"
        return Check(name, "skipped", says, {"pairs": num_pairs})
    found, chance, steps = memorise(trial, MEMORISED, report)
    numbers = {"pairs": num_pairs, "found": found, "chance": chance, "updates": steps}
    says = f"{found:.0%} of the texts find their image after {steps} updates, chance {chance:.1%}"
    if found >= MEMORISED:
        return Check(name, "ok", says, numbers)
    advice = (
        "if it still rises, give it more --steps; else raise or lower the learning rate, take a "
        "larger model or weaker augmentation, and see that the captions say what is in the images"
    )
    return Check(name, "failed", f"{says}, wanted {MEMORISED:.0%}: {advice}", numbers)
