"""Whole runs of what starts from SRCL: retrieval, VQA and NLVR2 on their official files."""

import json
import shutil

import pytest

from tests.reference.downstream_sets import write_karpathy
from tests.reference.tiny_run import DEMO, SRCL, digest_in, run_main, tiny_words
from tvdim_jax.cli import main
from tvdim_jax.train.metrics import read_rows

PRETRAINED = SRCL | {"tokenizer__vocab_size": 200, "train__num_steps": 2}
TASK = SRCL | {
    "tokenizer__max_length": 16,
    "model__image_size": 40,
    "data__image_size": 48,
    "train__num_steps": 4,
    "train__checkpoint_every": 2,
}


@pytest.fixture(scope="module")
def compiled(tmp_path_factory):
    """A compilation cache that the processes of this file share."""
    return {
        "JAX_COMPILATION_CACHE_DIR": str(tmp_path_factory.mktemp("xla")),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
    }


def trained(workdir, env, changes):
    """What a run prints, and its losses."""
    done = run_main([f"--config={DEMO}", *tiny_words(workdir, **changes)], env=env)
    assert done.returncode == 0, done.stdout + done.stderr
    rows = read_rows(workdir / "metrics.jsonl")
    return done.stdout, {row["step"]: row["train/loss"] for row in rows if "train/loss" in row}


def check_resume(workdir, env, changes):
    """Trains; then again as a run that was killed after step 3 goes on: the same bits.

    Returns:
      What the first one printed.
    """
    printed, losses = trained(workdir, env, changes)
    assert sorted(losses) == [1, 2, 3, 4]
    again = workdir.parent / "again"
    shutil.copytree(workdir, again)
    shutil.rmtree(again / "checkpoints" / "4")
    (again / "metrics.jsonl").unlink()
    resumed, later = trained(again, env, changes)
    assert "resumed from the checkpoint of step 2" in resumed
    assert digest_in(resumed) == digest_in(printed)
    assert later == {step: loss for step, loss in losses.items() if step > 2}
    return printed


@pytest.fixture(scope="module")
def srcl_run(tmp_path_factory, compiled):
    """A tiny pre-trained run."""
    workdir = tmp_path_factory.mktemp("srcl") / "run"
    trained(workdir, compiled, PRETRAINED)
    return workdir


def test_retrieval_is_fine_tuned_on_the_files_of_karpathy(tmp_path, srcl_run, compiled):
    write_karpathy(tmp_path / "coco", num_images=40)
    changes = TASK | {
        "data__source": "karpathy",
        "data__path": tmp_path / "coco",
        "model__start_from": srcl_run,
        "objective__word_weight": 0.0,
        "eval__tasks": "('retrieval','reranking')",
        "eval__num_reranked": 3,
    }
    workdir = tmp_path / "run"
    printed = check_resume(workdir, compiled, changes)
    assert "coco: 20 training and 10 test images" in printed
    assert f"{srcl_run}, step 2: loaded" in printed
    assert "remark: image/positions: 17 made 26" in printed
    assert "remark: text/positions: 24 made 16" in printed
    found = json.loads((workdir / "evals" / "reranking_coco.json").read_text())
    assert (found["num_images"], found["num_texts"], found["num_reranked"]) == (10, 20, 3)


def test_zero_shot_retrieval_scores_the_pre_trained_run(tmp_path, srcl_run, capsys):
    write_karpathy(tmp_path / "flickr", num_images=24, coco=False)
    words = ["--config.data.source=karpathy", f"--data={tmp_path / 'flickr'}", "--split=test"]
    tasks = ["--tasks=retrieval,reranking", "--config.eval.num_reranked=4", "--json"]
    capsys.readouterr()
    assert main(["evaluate", str(srcl_run), *words, *tasks]) == 0
    found = json.loads(capsys.readouterr().out)["trained"]
    assert found["retrieval"]["num_images"] == found["reranking"]["num_images"] == 8
    assert found["reranking"]["metrics"].keys() > found["retrieval"]["metrics"].keys()
    assert (srcl_run / "evals" / "reranking_flickr30k_test_flickr.json").exists()
    assert main(["evaluate", str(srcl_run), *words[:2], "--split=dev"]) == 2
    text = "config.eval.split is 'dev', wanted one of val, test, the parts of 'karpathy'"
    assert text in capsys.readouterr().err
