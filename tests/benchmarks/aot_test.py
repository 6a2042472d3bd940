import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import pytest

from benchmarks import aot
from benchmarks.loss_costs.cases import CASES
from tvdim_jax.losses import streamed_pairs

ROOT = Path(__file__).parents[2]


@pytest.mark.skipif(
    importlib.util.find_spec("jax_plugins") is None
    or importlib.util.find_spec("jax_plugins.xla_cuda13") is None,
    reason="NVIDIA's plugin for JAX is not installed: benchmarks/aot.sh installs it elsewhere",
)
def test_losses_compiled_for_an_h200_fit(tmp_path):
    out = tmp_path / "compiled.json"
    command = [sys.executable, str(ROOT / "benchmarks" / "aot.py"), "--json", str(out)]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr
    goals = json.loads(out.read_text())["goals"]
    assert {goal["what"]: goal["met"] for goal in goals} == dict.fromkeys(
        [
            "info_nce B=131,072: GiB",
            "local B=4,096: GiB",
            "local_max B=4,096: GiB",
            "mlp B=4,096: GiB",
        ],
        True,
    )


@pytest.mark.parametrize(("name", "batch", "block_size", "wanted"), aot.COMPILED)
def test_block_sizes_are_those_chosen_on_a_gpu(monkeypatch, name, batch, block_size, wanted):
    del wanted
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    choose, chosen = streamed_pairs.choose_block, []

    def noting(*pairs):
        chosen.append(choose(*pairs))
        return chosen[-1]

    monkeypatch.setattr(streamed_pairs, "choose_block", noting)
    jax.eval_shape(CASES[name].streamed, *CASES[name].shapes(batch, jnp.bfloat16))
    assert set(chosen) == {block_size}


def test_script_is_executable_and_needs_no_gpu():
    script = ROOT / "benchmarks" / "aot.sh"
    assert os.access(script, os.X_OK)
    subprocess.run(["bash", "-n", str(script)], check=True)
