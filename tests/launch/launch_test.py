import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import sysconfig
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LAUNCH = ROOT / "launch"
SCRIPTS = [LAUNCH / "local.sh", LAUNCH / "tpu_pod.sh", LAUNCH / "slurm.sbatch", ROOT / ".ci/run"]
TPU = ["--name", "pod", "--zone", "us-east5-b", "--project", "p 1"]
PROGRAM = ["-m", "tvdim_jax.main", "--distributed"]
OPTIONS = ["--config=configs/coco.py", "--config.data.path=/a folder/it's $HOME"]

# Appends its name, arguments and the launcher's variables to $RECORD; then acts as told.
STAND_IN = f"""#!{sys.executable}
import json, os, signal, sys, time
me = os.environ.get("JAX_PROCESS_ID", "")
kept = {{k: v for k, v in os.environ.items() if k.startswith("JAX_")}}
if os.environ.get("DEAF"):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
with open(os.environ["RECORD"], "a") as record:
    record.write(json.dumps([os.path.basename(sys.argv[0]), sys.argv[1:], kept]) + "\\n")
print("output of", me, flush=True)
if me == os.environ.get("FAILS"):
    time.sleep(0.3)
    sys.exit(7)
time.sleep(float(os.environ.get("SECONDS_TO_RUN", "0")))
"""


@pytest.fixture
def stand_in(tmp_path):
    """Puts stand-ins on PATH; returns (environment, function that reads the calls)."""
    record, folder = tmp_path / "calls.jsonl", tmp_path / "bin"
    folder.mkdir()
    for name in ("gcloud", "srun", "scontrol", "python"):
        (folder / name).write_text(STAND_IN)
        (folder / name).chmod(0o755)
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("JAX_", "SLURM_"))}
    environment = kept | {
        "PATH": f"{folder}:{os.environ['PATH']}",
        "PYTHON": str(folder / "python"),
        "RECORD": str(record),
        "LOG_DIR": str(tmp_path / "logs"),
        "GRACE_SECONDS": "1",
    }

    def calls():
        if not record.exists():
            return []
        return [json.loads(line) for line in record.read_text().splitlines()]

    return environment, calls


def run(script, *arguments, env, timeout=60):
    command = ["bash", str(LAUNCH / script), *arguments]
    return subprocess.run(
        command, env=env, capture_output=True, text=True, timeout=timeout, check=False
    )


def wait_for(calls, count):
    deadline = time.monotonic() + 30
    while len(calls()) < count:
        assert time.monotonic() < deadline, calls()
        time.sleep(0.05)
    return calls()


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_shellcheck(script):
    shellcheck = Path(sysconfig.get_path("scripts")) / "shellcheck"
    found = subprocess.run([shellcheck, script], capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stdout
    assert os.access(script, os.X_OK) or script.suffix == ".sbatch"


def test_every_launcher_ends_in_the_same_call():
    for script in SCRIPTS[:3]:
        text = script.read_text().replace("\\", "")
        assert len(re.findall(r"python\S* -m tvdim_jax\.main --distributed \"\$", text)) == 1
        program = [line for line in text.splitlines() if not line.startswith("#")]
        assert "--config." not in "\n".join(program)  # no hyperparameters


# local.sh


def test_local_starts_every_process(stand_in):
    environment, calls = stand_in
    done = run("local.sh", "3", *OPTIONS, env=environment)
    assert done.returncode == 0
    assert done.stdout == "output of 0\n"
    logs = {path.name: path.read_text() for path in Path(environment["LOG_DIR"]).iterdir()}
    assert logs == {f"process_{i}.log": f"output of {i}\n" for i in (1, 2)}
    by_process = {variables["JAX_PROCESS_ID"]: (args, variables) for _, args, variables in calls()}
    assert sorted(by_process) == ["0", "1", "2"]
    addresses = set()
    for arguments, variables in by_process.values():
        assert arguments == [*PROGRAM, *OPTIONS]
        assert variables["JAX_NUM_PROCESSES"] == "3"
        assert variables["JAX_PLATFORMS"] == "cpu"
        addresses.add(variables["JAX_COORDINATOR_ADDRESS"])
    assert len(addresses) == 1
    assert re.fullmatch(r"127\.0\.0\.1:\d{5}", addresses.pop())


@pytest.mark.parametrize("deaf", ["", "1"])
def test_local_stops_the_rest_when_one_fails(stand_in, deaf):
    environment, _ = stand_in
    started = time.monotonic()
    changes = {"FAILS": "1", "SECONDS_TO_RUN": "120", "DEAF": deaf}
    done = run("local.sh", "2", env=environment | changes)
    assert done.returncode == 7
    assert "process 1 of 2 failed with exit code 7; stopping the others" in done.stderr
    assert time.monotonic() - started < 30


def test_local_forwards_signals(stand_in):
    environment, calls = stand_in
    command = ["bash", str(LAUNCH / "local.sh"), "2"]
    launcher = subprocess.Popen(command, env=environment | {"SECONDS_TO_RUN": "120"})
    wait_for(calls, 2)
    launcher.send_signal(signal.SIGTERM)
    assert launcher.wait(timeout=30) == 143


@pytest.mark.parametrize("number", ["", "0", "two", "--config=x"])
def test_local_wants_a_number(stand_in, number):
    environment, calls = stand_in
    done = run("local.sh", number, env=environment)
    assert done.returncode == 2
    assert f"N >= 1 processes, got '{number}'" in done.stderr
    assert calls() == []


# tpu_pod.sh

VERBS = {
    "create": ["--type", "v5litepod-16", "--runtime", "v2-alpha-tpuv5-lite"],
    "run": OPTIONS,
    "logs": ["--worker", "3"],
    "stop": ["--yes"],
}


@pytest.mark.parametrize("verb", VERBS)
def test_tpu_dry_run_prints_what_is_run(stand_in, verb):
    environment, calls = stand_in
    dry = run("tpu_pod.sh", verb, *TPU, "--dry-run", *VERBS[verb], env=environment)
    assert dry.returncode == 0
    assert calls() == []
    wet = run("tpu_pod.sh", verb, *TPU, *VERBS[verb], env=environment)
    assert wet.returncode == 0
    printed = [shlex.split(line) for line in dry.stdout.splitlines()]
    assert printed == [[name, *arguments] for name, arguments, _ in calls()]


def test_tpu_commands(stand_in):
    environment, calls = stand_in
    for verb, options in VERBS.items():
        run("tpu_pod.sh", verb, *TPU, *options, env=environment)
    create, start, logs, stop = (arguments for _, arguments, _ in calls())
    vm, where = ["compute", "tpus", "tpu-vm"], ["--zone=us-east5-b", "--project=p 1"]
    assert create == [*vm, "create", "pod", *where, "--accelerator-type=v5litepod-16",
                      "--version=v2-alpha-tpuv5-lite"]  # fmt: skip
    assert start[:7] == [*vm, "ssh", "pod", *where]
    assert start[7] == "--worker=all"
    assert logs == [*vm, "ssh", "pod", *where, "--worker=3",
                    "--command=tail -n 200 -F tvdim_jax.log"]  # fmt: skip
    assert stop == [*vm, "delete", "pod", *where, "--quiet"]


def test_tpu_install_copies_the_checkout_and_installs(stand_in):
    environment, _ = stand_in
    printed = run("tpu_pod.sh", "install", *TPU, "--dry-run", env=environment).stdout.splitlines()
    folder, archive, copy, install = (shlex.split(line) for line in printed)
    packed = str(ROOT / "dist/tvdim_jax.tar.gz")
    assert folder == ["mkdir", "-p", str(ROOT / "dist")]
    assert archive[:5] == ["tar", "-czf", packed, "-C", str(ROOT)]
    assert archive[5:] == ["setup.py", "README.md", "LICENSE", "tvdim_jax", "configs"]
    assert copy[4:7] == ["scp", packed, "pod:"]
    assert copy[-1] == "--worker=all"
    assert install[-2] == "--worker=all"
    assert "-e './tvdim_jax[tpu]'" in install[-1]


@pytest.mark.parametrize("fails", [None, ""])
def test_tpu_worker_runs_the_program_in_the_background(stand_in, tmp_path, fails):
    environment, calls = stand_in
    run("tpu_pod.sh", "run", *TPU, *OPTIONS, env=environment)
    command = calls()[0][1][-1].removeprefix("--command=")
    (tmp_path / "tvdim_jax").mkdir()
    (tmp_path / "venv/bin").mkdir(parents=True)
    program = STAND_IN.replace("sys.exit(7)", "sys.exit(2)")  # not to be tried again
    (tmp_path / "venv/bin/python").write_text(program)
    (tmp_path / "venv/bin/python").chmod(0o755)
    worker = environment | {"HOME": str(tmp_path), "SECONDS_TO_RUN": "1"}
    if fails is not None:
        worker["FAILS"] = fails
    done = subprocess.run(["bash", "-c", command], env=worker, cwd=tmp_path, timeout=30,
                          capture_output=True, text=True, check=False)  # fmt: skip
    assert (done.returncode, done.stdout) == (0, "")
    assert wait_for(calls, 2)[1][:2] == ["python", [*PROGRAM, *OPTIONS]]
    time.sleep(0.3)
    assert len(calls()) == 2
    assert (tmp_path / "tvdim_jax.log").read_text().endswith("output of \n")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["stop", *TPU], "stop deletes the slice pod and its disks; add --yes"),
        (["create", *TPU], "create wants --type and --runtime"),
        (["logs", "--zone", "z"], "--name is missing; give it or set NAME"),
        (["logs", *TPU, "--wroker", "1"], "logs takes no '--wroker'"),
        (["logs", "--name"], "--name wants a value"),
        (["begin", *TPU], "unknown verb 'begin', wanted create, install, run, logs or stop"),
    ],
)
def test_tpu_errors_run_nothing(stand_in, arguments, message):
    environment, calls = stand_in
    done = run("tpu_pod.sh", *arguments, env=environment)
    assert done.returncode == 2
    assert message in done.stderr
    assert calls() == []


# slurm.sbatch


def test_slurm_runs_one_process_a_node_with_all_its_devices(stand_in):
    environment, calls = stand_in
    done = run("slurm.sbatch", *OPTIONS, env=environment | {"SLURM_GPUS_ON_NODE": "4"})
    assert done.returncode == 0
    (name, arguments, variables), = calls()  # fmt: skip
    assert name == "srun"
    assert arguments[-6:] == [environment["PYTHON"], *PROGRAM, *OPTIONS]
    assert variables["JAX_LOCAL_DEVICE_IDS"] == "0,1,2,3"
    assert run("slurm.sbatch", env=environment).returncode == 0
    assert "JAX_LOCAL_DEVICE_IDS" not in calls()[1][2]


def test_slurm_failure_is_not_hidden(stand_in):
    environment, calls = stand_in
    assert run("slurm.sbatch", env=environment | {"FAILS": ""}).returncode == 7
    assert [name for name, _, _ in calls()] == ["srun"]


def test_slurm_queues_again_before_the_time_limit(stand_in):
    environment, calls = stand_in
    changes = {"SECONDS_TO_RUN": "20", "SLURM_JOB_ID": "42"}
    command = ["bash", str(LAUNCH / "slurm.sbatch")]
    job = subprocess.Popen(command, env=environment | changes, stdout=subprocess.DEVNULL)
    wait_for(calls, 1)
    started = time.monotonic()
    job.send_signal(signal.SIGUSR1)
    assert wait_for(calls, 2)[1][:2] == ["scontrol", ["requeue", "42"]]
    assert time.monotonic() - started < 10  # the step was told to stop
    job.terminate()
    job.wait(timeout=30)


# .ci/run


def test_ci_wants_the_readme_command(tmp_path):
    (tmp_path / ".ci").mkdir()
    shutil.copy(ROOT / ".ci/run", tmp_path / ".ci/run")
    (tmp_path / "README.md").write_text("no command here\n")
    done = subprocess.run([tmp_path / ".ci/run"], capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert 'README.md must show the line: pip install -e ".[test]" && pytest' in done.stderr
