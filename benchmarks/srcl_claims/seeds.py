"""One arm on scenes: all its seeds are trained at once."""

import time
from functools import cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.loss_costs.report import device_name, versions
from benchmarks.srcl_claims.arms import ARMS, Arm
from benchmarks.srcl_claims.descriptions import Described, draw, shorten
from benchmarks.srcl_claims.networks import Params, init
from benchmarks.srcl_claims.scoring import score, weigh
from benchmarks.srcl_claims.training import Batch, batch_rows, train_seeds
from benchmarks.studies.records import Record
from tvdim_jax.prng import named_key


class Size(NamedTuple):
    """How large the study on scenes is.

    Attributes:
      num_train: scenes that all arms train on.
      num_clean: the first of them, whose descriptions are always whole: the teacher's.
      num_test: scenes that are scored, none of them a training scene.
      num_probe: training scenes that the probe learns from.
      num_steps: updates of an arm.
      num_teacher_steps: updates of the teacher.
      batch_size: images of an update.
    """

    num_train: int = 10_000
    num_clean: int = 2_000
    num_test: int = 1_000
    num_probe: int = 4_000
    num_steps: int = 1_000
    num_teacher_steps: int = 600
    batch_size: int = 64


class Setting(NamedTuple):
    """What all arms of a share have in common.

    Attributes:
      train: scenes with whole descriptions.
      test: others.
      said: int32 `[seeds, n, 6]`, the training descriptions of each seed, some of them short.
      teacher: parameters of the teachers, each leaf `[seeds, ...]`.
      share: of the training descriptions that are short.
      size: of the study.
    """

    train: Described
    test: Described
    said: np.ndarray
    teacher: Params
    share: float
    size: Size


def fields(arm: Arm, share: float, size: Size) -> dict[str, Any]:
    """What a record is made with."""
    return {**arm._asdict(), **size._asdict(), "short_share": share}


@cache
def measure_seeds(name: str, share: float, size: Size, num_seeds: int) -> list[Record]:
    """Trains and scores an arm: a record for each seed, without the names of set and arm.

    Args:
      name: key of `ARMS`.
      share: of the training descriptions that are short.
      size: of the study.
      num_seeds: they differ in weights, in order, and in which descriptions are short.
    """
    arm, setting = ARMS[name], open_setting(share, size, num_seeds)
    start = time.process_time()
    params = setting.teacher if arm.from_teacher else _fresh("student", setting.train, num_seeds)
    losses = jnp.full(num_seeds, jnp.nan)
    if arm.is_trained:
        rows = _rows(size.num_train, size.num_steps, size.batch_size, num_seeds)
        whole = Batch(*setting.train, setting.said)
        params, losses = train_seeds(arm, params, setting.teacher, rows, whole)
        jax.block_until_ready(losses)
    seconds = (time.process_time() - start) / num_seeds
    return [
        {
            "device": device_name(),
            "versions": versions(),
            "fields": fields(arm, share, size),
            "num_steps": size.num_steps,
            "batch_size": size.batch_size,
            "num_train": size.num_train,
            "num_test": size.num_test,
            "last_metrics": {"loss": float(losses[seed])} if arm.is_trained else {},
            "results": _score(name, params, setting, seed),
            "train_cpu_seconds": seconds,
        }
        for seed in range(num_seeds)
    ]


@cache
def open_setting(share: float, size: Size, num_seeds: int) -> Setting:
    """Draws the scenes, shortens descriptions, and trains the teachers on the clean part."""
    train, test = draw((size.num_train, size.num_test))
    said = np.stack([_shortened(train.words, share, size, seed) for seed in range(num_seeds)])
    clean = slice(size.num_clean)
    fresh = _fresh("teacher", train, num_seeds)
    rows = _rows(size.num_clean, size.num_teacher_steps, size.batch_size, num_seeds)
    whole = Batch(train.images[clean], train.words[clean], said[:, clean])
    teacher, _ = train_seeds(ARMS["info_nce"], fresh, fresh, rows, whole)
    return Setting(train, test, said, teacher, share, size)


def _shortened(words: np.ndarray, share: float, size: Size, seed: int) -> np.ndarray:
    """Shortens that share of all descriptions, none of them in the clean part."""
    others = np.random.default_rng(seed).permutation(np.arange(size.num_clean, size.num_train))
    return shorten(words, others[: round(share * size.num_train)])


def _fresh(name: str, train: Described, num_seeds: int) -> Params:
    keys = jax.random.split(named_key(jax.random.key(0), name), num_seeds)
    return jax.vmap(lambda key: init(key, train.images.shape[1]))(keys)


def _rows(num_rows: int, num_steps: int, batch_size: int, num_seeds: int) -> np.ndarray:
    return np.stack(
        [batch_rows(num_rows, num_steps, batch_size, seed) for seed in range(num_seeds)]
    )


def _score(name: str, params: Params, setting: Setting, seed: int) -> dict[str, Any]:
    arm, size = ARMS[name], setting.size
    own, teacher = (
        jax.tree.map(lambda leaf: leaf[seed], nets) for nets in (params, setting.teacher)
    )
    probed = Described(*(part[: size.num_probe] for part in setting.train))
    results: dict[str, Any] = score(own, probed, setting.test, seed=seed)
    if arm.negatives in ("regulated", "removed"):
        results["weights"] = weigh(
            arm,
            own,
            teacher,
            setting.test,
            share=setting.share,
            batch_size=size.batch_size,
            seed=seed,
        )
    return results
