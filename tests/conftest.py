"""Eight fake CPU devices, cheap compilation and strict numerics for every test."""

import contextlib
import io
import os

os.environ["JAX_PLATFORMS"] = "cpu"
os.environ["XLA_FLAGS"] = (
    "--xla_force_host_platform_device_count=8 --xla_backend_optimization_level=1"
)

import absl.flags
import jax
import pytest

jax.config.update("jax_numpy_rank_promotion", "raise")
absl.flags.FLAGS.mark_as_parsed()  # grain reads absl flags


@pytest.fixture(scope="session")
def tiny_run(tmp_path_factory):
    """Folder of a run that `tvdim train` finished in this process, and what it printed.

    Copy the folder to change it. The probe is not among its tasks: on pixels it takes seconds.
    """
    from tests.reference.tiny_run import DEMO, tiny_words
    from tvdim_jax.cli import main

    workdir = tmp_path_factory.mktemp("tiny") / "run"
    words = tiny_words(workdir, eval__tasks="('knn','retrieval')", eval__every=4)
    with contextlib.redirect_stdout(io.StringIO()) as output:
        assert main(["train", f"--config={DEMO}", *words]) == 0
    return workdir, output.getvalue()


@pytest.fixture(scope="session")
def clip_run(tmp_path_factory):
    """Folder of a finished run of CLIP, which can teach. Copy it to change it."""
    from tests.reference.tiny_run import CLIP, DEMO, run_main, tiny_words

    workdir = tmp_path_factory.mktemp("clip") / "run"
    words = tiny_words(workdir, **CLIP, eval__tasks="('knn','retrieval')")
    done = run_main([f"--config={DEMO}", *words])
    assert done.returncode == 0, done.stdout + done.stderr
    return workdir


@pytest.fixture
def x64():
    """Double precision for one test."""
    with jax.enable_x64(True):
        yield
