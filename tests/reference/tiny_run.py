"""The smallest runs that go through everything: configs, commands and a folder of photographs."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from ml_collections import ConfigDict
from PIL import Image

from tvdim_jax import config

REPOSITORY = Path(__file__).parents[2]
DEMO = str(REPOSITORY / "configs" / "demo.py")
FLICKR8K = str(REPOSITORY / "configs" / "flickr8k.py")
_TINY = {
    "model.image": "amdim_tiny",
    "model.text": "text_tiny",
    "optimizer.warmup_steps": 1,
    "objective.scales": (7,),  # fewer to compile; the objective's own tests have all
    "data.num_examples": 64,
    "tokenizer.vocab_size": 150,
    "tokenizer.num_train_captions": 100,
    "train.batch_size": 8,
    "train.num_steps": 6,
    "train.log_every": 1,
    "train.checkpoint_every": 3,
    "eval.batch_size": 16,
    "eval.num_train_examples": 40,
    "eval.num_test_examples": 24,
}
CLIP = {
    "augment": "captions",
    "model__image": "vit_tiny",
    "model__text": "bert_tiny_1",
    "model__embedding_width": 8,
    "objective__name": "clip",
    "objective__pair_loss": "info_nce",
    "optimizer__name": "adamw",
    "train__num_steps": 3,
}
SRCL = CLIP | {
    "objective__name": "srcl",
    "objective__pair_loss": "similarity_regulated",
    "objective__matching_group": 4,
    "eval__tasks": "()",
}


def tiny_words(workdir: Path, **changes: object) -> list[str]:
    """Command-line words of a tiny run; `a__b=1` changes the field a.b."""
    fields = {**_TINY, "workdir": workdir}
    fields.update({name.replace("__", "."): value for name, value in changes.items()})
    return [f"--config.{name}={value}" for name, value in fields.items()]


def tiny_config(workdir: Path | str = "unused", **changes: object) -> ConfigDict:
    """The config of such a run; changes as in `tiny_words`."""
    return config.load(DEMO, tiny_words(Path(workdir), **changes))


def run_main(
    words: Sequence[str],
    *,
    num_devices: int = 1,
    env: Mapping[str, str] | None = None,
    seconds: int = 600,
) -> subprocess.CompletedProcess[str]:
    """`python -m tvdim_jax.main` in a process of its own, which has so many seconds."""
    return subprocess.run(
        [sys.executable, "-m", "tvdim_jax.main", *words],
        env=environment(num_devices, env),
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )


def start_main(
    words: Sequence[str], *, num_devices: int = 1, env: Mapping[str, str] | None = None
) -> subprocess.Popen[str]:
    """The same, running on, its output in `stdout`."""
    return subprocess.Popen(
        [sys.executable, "-m", "tvdim_jax.main", *words],
        env={**environment(num_devices, env), "PYTHONUNBUFFERED": "1"},
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        text=True,
    )


def read_until(process: subprocess.Popen[str], text: str) -> str:
    """What the process prints up to the first line with `text`."""
    output = ""
    for line in process.stdout:
        output += line
        if text in line:
            return output
    raise AssertionError(f"the process ended without printing {text!r}: {output}")


def environment(num_devices: int, extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """A CPU environment with fake devices and cheap compilation."""
    flags = f"--xla_force_host_platform_device_count={num_devices}"
    return {
        **os.environ,
        "JAX_PLATFORMS": "cpu",
        "XLA_FLAGS": f"{flags} --xla_backend_optimization_level=1",
        **(extra or {}),
    }


def digest_in(output: str) -> str:
    """The digest of the last state that a run printed."""
    line = next(line for line in output.splitlines() if "digest" in line)
    return line.split()[-1]


def write_captions_folder(folder: Path, num_images: int = 48) -> Path:
    """Random photographs with two captions and two concepts each, as captions.jsonl wants them."""
    rng = np.random.default_rng(0)
    (folder / "images").mkdir(parents=True)
    rows = []
    for index in range(num_images):
        name = f"images/{index}.jpg"
        is_red, is_dark = rng.random(2) < 0.5
        pixels = rng.integers(0, 120 if is_dark else 255, (90, 100, 3), dtype=np.uint8)
        if is_red:
            pixels[..., 1:] //= 3
        Image.fromarray(pixels).save(folder / name)
        words = ["red" if is_red else "grey", "dark" if is_dark else "bright"]
        captions = [f"a {words[0]} {words[1]} picture", f"noise, {words[1]}, {words[0]} {index}"]
        labels = ["red"] * bool(is_red) + ["dark"] * bool(is_dark)
        ambiguous = ["dark"] if index % 7 == 0 and not is_dark else []
        rows.append({"image": name, "captions": captions, "labels": labels, "ambiguous": ambiguous})
    lines = [json.dumps(row) for row in rows]
    (folder / "captions.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder
