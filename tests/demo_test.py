"""The promise of the README: what the demo learns, in which time."""

import json
import time

import pytest

from tests.reference.tiny_run import DEMO, run_main


@pytest.mark.slow
def test_the_demo_keeps_its_promise(tmp_path):
    start = time.perf_counter()
    done = run_main([f"--config={DEMO}", f"--config.workdir={tmp_path}"], env={"XLA_FLAGS": ""})
    assert done.returncode == 0, done.stdout + done.stderr
    assert time.perf_counter() - start < 360  # twice the promise: the machine may be busy
    for task in ("linear_probe", "knn"):
        record = json.loads((tmp_path / "evals" / f"{task}_scenes.json").read_text())
        for baseline in ("random initialisation", "raw pixels"):
            margin = (
                record["metrics"]["accuracy"] - record["baselines"][baseline]["metrics"]["accuracy"]
            )
            assert margin >= 0.15, (task, baseline, margin)
    record = json.loads((tmp_path / "evals" / "retrieval_scenes.json").read_text())
    for name in ("image_to_text_R@10", "text_to_image_R@10"):
        assert record["metrics"][name] >= 5 * record["chance"][name]
