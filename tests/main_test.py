"""The main job as users start it: kills, device counts, processes, bad data, exit codes."""

import csv
import json
import re
import signal
import socket

import numpy as np
import pytest

from tests.reference.tiny_run import (
    DEMO,
    FLICKR8K,
    digest_in,
    read_until,
    run_main,
    start_main,
    tiny_words,
    write_captions_folder,
)
from tvdim_jax.cli import main
from tvdim_jax.train.metrics import read_rows


@pytest.fixture(scope="module")
def compiled(tmp_path_factory):
    """A compilation cache that the processes of this file share."""
    folder = str(tmp_path_factory.mktemp("xla"))
    return {
        "JAX_COMPILATION_CACHE_DIR": folder,
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
    }


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory, compiled):
    """A finished tiny run and what it printed."""
    workdir = tmp_path_factory.mktemp("uninterrupted") / "run"
    done = run_main([f"--config={DEMO}", *tiny_words(workdir)], env=compiled)
    assert done.returncode == 0, done.stdout + done.stderr
    return workdir, done.stdout


def losses_of(workdir):
    rows = read_rows(workdir / "metrics.jsonl")
    return np.array([row["train/loss"] for row in rows if "train/loss" in row])


def test_a_run_fills_its_folder_and_prints_the_table(uninterrupted):
    workdir, output = uninterrupted
    assert "process 0 of 1" in output
    assert "global batch 8, 7 negatives per anchor" in output
    assert "step 6/6" in output
    assert "eta" in output
    assert "examples/s" in output
    for row in ("trained", "random initialisation", "raw pixels", "chance"):
        assert row in output
    assert json.loads((workdir / "config.json").read_text())["train"]["num_steps"] == 6
    assert sorted(path.name for path in (workdir / "evals").iterdir()) == [
        f"{task}_scenes.{kind}"
        for task in ("knn", "linear_probe", "retrieval")
        for kind in ("json", "npz")
    ]
    record = json.loads((workdir / "evals" / "linear_probe_scenes.json").read_text())
    assert record["num_test"] == 24  # 16 + 8: the tail counts
    assert set(record["baselines"]) == {
        "random initialisation",
        "raw pixels",
        "pixels + gradients",
    }
    rows = read_rows(workdir / "metrics.jsonl")
    assert [row["step"] for row in rows] == [1, 2, 3, 4, 5, 6]
    assert "eval/scenes/retrieval/image_to_text_R@10" in rows[-1]


def test_a_finished_run_is_left_alone(uninterrupted, compiled):
    workdir, _ = uninterrupted
    before = (workdir / "metrics.jsonl").read_text()
    again = run_main([f"--config={DEMO}", *tiny_words(workdir)], env=compiled)
    assert again.returncode == 0
    assert "is finished" in again.stdout
    assert (workdir / "metrics.jsonl").read_text() == before


def test_sigkill_and_resume_give_the_same_bits(tmp_path, uninterrupted, compiled):
    """Dropout and augmentation are on. The save of step 4 has waited for that of step 2."""
    workdir = tmp_path / "run"
    changes = {"train__checkpoint_every": 2, "train__writers": "('csv','tensorboard')"}
    words = [f"--config={DEMO}", *tiny_words(workdir, **changes)]
    process = start_main(words, env=compiled)
    with process:
        read_until(process, "step 5/6")
        process.kill()
    assert process.returncode == -signal.SIGKILL
    assert not (workdir / "checkpoints" / "6").exists()
    resumed = run_main(words, env=compiled)
    assert re.search("resumed from the checkpoint of step [24]", resumed.stdout)
    assert digest_in(resumed.stdout) == digest_in(uninterrupted[1])
    np.testing.assert_array_equal(losses_of(workdir), losses_of(uninterrupted[0]))
    with (workdir / "metrics.csv").open(newline="") as file:
        assert [row["step"] for row in csv.DictReader(file)] == [*"123456"]
    assert len(list((workdir / "tensorboard").iterdir())) == 2


def test_sigterm_saves_and_the_same_command_goes_on(tmp_path, uninterrupted, compiled):
    workdir = tmp_path / "run"
    words = tiny_words(workdir, train__checkpoint_every=1000, train__num_steps=60, eval__tasks="()")
    words = [f"--config={DEMO}", *words]
    with start_main(words, env=compiled) as process:
        read_until(process, "step  1/60")
        process.terminate()
        said = process.stdout.read()
    stopped = re.search(r"stopped and saved at step (\d+); the same command goes on", said)
    assert f"`tvdim report {workdir}` shows what there is" in said
    assert process.returncode == 75
    assert (workdir / "checkpoints" / stopped[1]).is_dir()
    resumed = run_main(words, env=compiled)
    assert resumed.returncode == 0, resumed.stdout + resumed.stderr
    assert f"resumed from the checkpoint of step {stopped[1]}" in resumed.stdout
    assert (workdir / "checkpoints" / "60").is_dir()


def test_eight_devices_give_the_losses_of_one(tmp_path, uninterrupted, compiled):
    """Every step's gradient enters the next loss; chaos lets the later ones drift a little."""
    words = [f"--config={DEMO}", *tiny_words(tmp_path / "run", eval__tasks="()")]
    done = run_main(words, num_devices=8, env=compiled)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "mesh {'data': 8}" in done.stdout
    one, eight = losses_of(uninterrupted[0]), losses_of(tmp_path / "run")
    np.testing.assert_allclose(eight, one, rtol=1e-5)


def test_two_processes_save_and_one_with_eight_devices_goes_on(tmp_path, uninterrupted, compiled):
    """Both are killed after step 5. The restore proves equal bits: every array has its digest."""
    workdir = tmp_path / "run"
    words = [f"--config={DEMO}", *tiny_words(workdir, eval__tasks="()", train__checkpoint_every=2)]
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    first, second = (
        start_main(
            ["--distributed", *words],
            num_devices=4,
            env={
                **compiled,
                "JAX_COORDINATOR_ADDRESS": address,
                "JAX_NUM_PROCESSES": "2",
                "JAX_PROCESS_ID": str(index),
            },
        )
        for index in range(2)
    )
    with first, second:
        output = read_until(first, "step 5/6")
        first.kill()
        second.kill()
        assert "step" not in second.stdout.read()  # the second process is silent
    assert "process 0 of 2, 4 of 8" in output
    resumed = run_main(words, num_devices=8, env=compiled)
    assert resumed.returncode == 0, resumed.stdout + resumed.stderr
    assert re.search("resumed from the checkpoint of step [24]", resumed.stdout)
    np.testing.assert_allclose(losses_of(workdir), losses_of(uninterrupted[0]), rtol=1e-5)


def test_photographs_with_bad_ones_among_them(tmp_path, compiled):
    folder = write_captions_folder(tmp_path / "photos")
    (folder / "images" / "5.jpg").write_bytes(b"<html>not found</html>")
    (folder / "images" / "6.jpg").unlink()
    workdir = tmp_path / "run"
    words = [
        f"--config={FLICKR8K}",
        *tiny_words(
            workdir,
            data__path=folder,
            data__validation_fraction=0.3,
            data__max_bad_fraction=0.2,
            optimizer__warmup_steps=2,
            train__num_steps=12,
        ),
    ]
    done = run_main(words, env=compiled)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "mean auc" in done.stdout
    lines = [path.read_text() for path in workdir.glob("bad_examples*.jsonl")]
    listed = [json.loads(line) for line in "".join(lines).splitlines()]
    reasons = {row["example_id"]: row["reason"] for row in listed}
    assert reasons == {"images/5.jpg": "unsupported format", "images/6.jpg": "missing file"}


def test_too_many_bad_images_stop_the_run_with_a_table(tmp_path, compiled):
    folder = write_captions_folder(tmp_path / "photos")
    for index in range(24):
        (folder / "images" / f"{index}.jpg").unlink()
    words = [
        f"--config={FLICKR8K}",
        *tiny_words(
            tmp_path / "run", data__path=folder, data__validation_fraction=0.1, train__num_steps=50
        ),
    ]
    done = run_main(words, env=compiled)
    assert done.returncode == 1
    assert "stopped: bad data" in done.stderr
    assert "missing file" in done.stderr
    assert "Traceback" not in done.stderr


def test_text_weight_zero_trains_without_text(tmp_path, compiled):
    workdir = tmp_path / "run"
    words = [f"--config={DEMO}", *tiny_words(workdir, objective__text_weight=0.0)]
    done = run_main(words, env=compiled)
    assert done.returncode == 0, done.stdout + done.stderr
    assert not (workdir / "tokenizer.json").exists()
    assert not (workdir / "evals" / "retrieval_scenes.json").exists()
    assert "R@10" not in done.stdout


def test_bad_input_is_one_line_and_exit_code_2(tmp_path):
    done = run_main([f"--config={DEMO}", "--config.trian.num_steps=3"])
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["--config=configs/none.py"], "no config file at 'configs/none.py'"),
        ([f"--config={DEMO}", "--config.trian.num_steps=3"], "nearest is 'train.num_steps'"),
        ([f"--config={DEMO}", "--config.train.num_steps=many"], "train.num_steps"),
        ([f"--config={FLICKR8K}"], "add --config.data.path=DIR"),
        ([f"--config={FLICKR8K}", "--config.data.path=/nowhere"], "/nowhere"),
        ([f"--config={DEMO}", "--config.model.image=amdim_huge"], "amdim_huge"),
        ([f"--config={DEMO}", "--config.train.batch_size=12"], "does not divide by 8 devices"),
    ],
)
def test_the_error_says_what_to_do(tmp_path, capsys, words, text):
    assert main(["train", *words, f"--config.workdir={tmp_path / 'run'}"]) == 2
    error = capsys.readouterr().err
    assert text in error
    assert len(error.splitlines()) == 1
    assert not (tmp_path / "run").exists()


def test_another_config_in_the_same_folder_lists_the_fields(uninterrupted, capsys):
    workdir, _ = uninterrupted
    words = tiny_words(workdir, objective__margin=0.4, seed=1)
    assert main(["train", f"--config={DEMO}", *words]) == 2
    assert "objective.margin: 0.2 -> 0.4; seed: 0 -> 1" in capsys.readouterr().err


def test_broken_json_line_names_the_line(tmp_path, capsys):
    folder = write_captions_folder(tmp_path / "photos", num_images=12)
    path = folder / "captions.jsonl"
    lines = path.read_text().splitlines()
    lines[3] = '{"image": "images/3.jpg", "captions": ['
    path.write_text("\n".join(lines))
    words = tiny_words(tmp_path / "run", data__path=folder)
    assert main(["train", f"--config={FLICKR8K}", *words]) == 2
    assert "captions.jsonl:4" in capsys.readouterr().err
