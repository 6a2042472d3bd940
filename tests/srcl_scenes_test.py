"""On generated scenes matching alone tells wrong pairs, and words alone beat their frequencies."""

from collections import Counter

import numpy as np
import pytest

from tests.reference.tiny_run import REPOSITORY, run_main
from tvdim_jax.data.tokenizer import Tokenizer
from tvdim_jax.experiment import run_folder
from tvdim_jax.experiment.data import make_splits
from tvdim_jax.train.metrics import read_rows

SRCL = str(REPOSITORY / "configs" / "coco_srcl.py")
DEMO = {
    "augment": "captions_large_crops",  # smaller ones often leave an object out
    "data.source": "scenes",
    "data.path": "",
    "data.image_size": 32,
    "model.image": "vit_demo",
    "model.image_size": 32,
    "model.text": "bert_demo",
    "model.fusion": "fusion_demo",
    "model.dropout": 0,
    "model.embedding_width": 64,
    "model.dtype": "float32",
    "tokenizer.vocab_size": 500,
    "optimizer.learning_rate": 1e-3,
    "optimizer.image_learning_rate": 1e-3,
    "optimizer.warmup_steps": 100,
    "optimizer.clip_norm": 1.0,
    "train.batch_size": 64,
    "objective.contrast_weight": 0,
    "eval.tasks": "()",
}


def train(workdir, **fields):
    """Rows of the log of a run on scenes."""
    words = {**DEMO, **fields, "workdir": workdir}
    flags = [f"--config.{name}={value}" for name, value in words.items()]
    done = run_main([f"--config={SRCL}", *flags], env={"XLA_FLAGS": ""}, seconds=3_600)
    assert done.returncode == 0, done.stdout + done.stderr
    return [row for row in read_rows(workdir / "metrics.jsonl") if "train/loss" in row]


def mean_of_last(rows, name, count):
    return float(np.mean([row[name] for row in rows[-count:]]))


def word_entropy(workdir):
    """Of the words of the training captions, nats: what their frequencies alone can reach."""
    config = run_folder.read_config(workdir)
    tokenizer = Tokenizer.load(run_folder.tokenizer_path(workdir))
    source = make_splits(config).train
    counts = Counter()
    for row in range(2_000):
        token_ids, token_valid = tokenizer.encode(source.captions(row))
        counts.update(token_ids[token_valid & ~np.isin(token_ids, tokenizer.added_ids)].tolist())
    shares = np.array(list(counts.values())) / counts.total()
    return float(-(shares * np.log(shares)).sum())


@pytest.mark.slow
def test_matching_alone_tells_wrong_pairs(tmp_path):
    rows = train(tmp_path, **{"objective.word_weight": 0, "train.num_steps": 3_000})
    assert mean_of_last(rows, "train/matching_accuracy", 5) > 0.9  # 2/3 by always saying no


@pytest.mark.slow
def test_words_alone_beat_their_frequencies(tmp_path):
    rows = train(tmp_path, **{"objective.matching_weight": 0, "train.num_steps": 1_500})
    assert mean_of_last(rows, "train/word_loss", 5) < 0.5 * word_entropy(tmp_path)
