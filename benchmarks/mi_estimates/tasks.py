"""Samples with a known mutual information, and the critic's inputs made of them.

Inputs of a side: each coordinate's rank among the training rows, as a normal score, and the
logarithm of the radius, coordinates in units of their median deviation. Marginals and heavy tails
are then harmless, and nothing is lost that a function of the side could tell.
"""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from scipy.special import ndtri

TRAIN_SHARE, STOP_SHARE = 0.65, 0.10
FEWEST_ROWS = 200
PADDED = 64  # inputs are filled up with zeros to a multiple of it: tasks share a compiled program
FIELDS = ("x", "y", "mutual_information_nats")


class Task(NamedTuple):
    """A sample: x `[rows, D_x]`, y `[rows, D_y]`, and its true mutual information in nats."""

    name: str
    x: np.ndarray
    y: np.ndarray
    truth: float


class Part(NamedTuple):
    """The critic's inputs of some rows, float32 `[rows, width]`."""

    x: Any
    y: Any


Parts = tuple[Part, Part, Part]  # training, stopping and held-out rows


def read_task(path: Path) -> Task:
    """Reads NAME.npz; ValueError where it is not what `Task` says, or has too few rows."""
    with np.load(path, allow_pickle=False) as file:
        if missing := [name for name in FIELDS if name not in file.files]:
            raise ValueError(f"{path.name} lacks {', '.join(missing)}; wanted {', '.join(FIELDS)}")
        x, y, truth = (file[name] for name in FIELDS)
    if x.ndim != 2 or y.ndim != 2 or len(x) != len(y) or len(x) < FEWEST_ROWS:
        raise ValueError(
            f"{path.name}: got x {x.shape} and y {y.shape}, wanted [rows, D_x] and [rows, D_y] of "
            f"the same {FEWEST_ROWS} rows or more"
        )
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise ValueError(f"{path.name}: got a value that is not finite; leave such rows out")
    return Task(path.stem, x, y, float(truth))


def prepare(task: Task, seed: int) -> Parts:
    """Splits the rows and makes the critic's inputs.

    Args:
      task: the sample.
      seed: draws the split.

    Returns:
      Training, stopping and held-out rows; ranks and scales are those of the training rows.
    """
    order = np.random.default_rng(seed).permutation(len(task.x))
    ends = np.cumsum([round(share * len(order)) for share in (TRAIN_SHARE, STOP_SHARE)])
    train, stop, held_out = np.split(order, ends)

    def part(rows: np.ndarray) -> Part:
        return Part(*(inputs(side[rows], side[train]) for side in (task.x, task.y)))

    return part(train), part(stop), part(held_out)


def inputs(values: np.ndarray, train: np.ndarray) -> np.ndarray:
    """Normal scores and log radius of `values [rows, D]` -> float32 `[rows, width]`."""
    ranks = [
        (np.searchsorted(known, column, "left") + np.searchsorted(known, column, "right")) / 2
        for column, known in zip(values.T, np.sort(train, axis=0).T, strict=True)
    ]
    columns = [ndtri((np.stack(ranks, axis=1) + 0.5) / (len(train) + 1))]
    if values.shape[1] > 1:  # of one coordinate the rank says it all
        known = _log_radius(train, train)
        columns.append((_log_radius(values, train) - known.mean()) / _or_1(known.std()))
    features = np.concatenate(columns, axis=1, dtype=np.float32)
    return np.pad(features, ((0, 0), (0, -features.shape[1] % PADDED)))


def _log_radius(values: np.ndarray, train: np.ndarray) -> np.ndarray:
    """`[rows, D]` -> `[rows, 1]`."""
    centre = np.median(train, axis=0)
    scale = _or_1(np.median(np.abs(train - centre), axis=0))
    return np.log(np.mean(((values - centre) / scale) ** 2, axis=1, keepdims=True) + 1e-6)


def _or_1(scale: np.ndarray) -> np.ndarray:
    """1 for the scale of what is constant."""
    return np.where(scale > 0, scale, 1)
