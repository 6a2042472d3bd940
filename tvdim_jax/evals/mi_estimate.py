"""Mutual information of held-out pairs by several bounds, each with its interval, in nats.

All estimates see scores alone. A tile is the table of the scores of N pairs, x_i against y_j; the
pairs are dealt out to tiles at random, and an estimate is the mean over the tiles. InfoNCE cannot
pass log N, however much information there is: at that ceiling only the others tell, with a
variance that grows with exp(MI).
"""

import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import NamedTuple

import numpy as np

from tvdim_jax.evals.score_tiles import ScoreTile

PAIRS_PER_TILE = 512  # at most, so that estimates of sets of unequal size have one ceiling
SATURATED = 0.98  # share of log N from which on InfoNCE says nothing but "at least this much"

# (scores of a tile [N, N], counts [R, N]) -> [R], as if pair i were there counts[r, i] times
Estimator = Callable[[np.ndarray, np.ndarray], np.ndarray]

# Estimates of the panel by what they are called in metrics and in tables.
ESTIMATE_NAMES = {
    "info_nce": "InfoNCE",
    "nwj": "NWJ",
    "donsker_varadhan": "Donsker-Varadhan",
    "smile": "SMILE",
    "jsd": "SMILE, JSD-trained critic",
}


class MiPanel(NamedTuple):
    """What was measured and by which protocol; `_asdict()` is JSON.

    Attributes:
      estimates: by name: "nats", and "low" and "high", the ends of its bootstrap interval over
        pairs (percentile method); infinite ones are None.
      log_n: ceiling of "info_nce", nats.
      saturated: "info_nce" is above 0.98 log_n: the pairs share more than it can tell.
      pairs_per_tile: N.
      num_tiles: tables of scores.
      num_pairs: given; the last `num_pairs - N num_tiles` in the random order found no tile.
      num_resamples: of the bootstrap, each drawn within the tiles.
      confidence: share of the resamples within an interval.
      smile_clip: of "smile" and "jsd".
      seed: of tiles and resamples.
    """

    estimates: dict[str, dict[str, float | None]]
    log_n: float
    saturated: bool
    pairs_per_tile: int
    num_tiles: int
    num_pairs: int
    num_resamples: int
    confidence: float
    smile_clip: float
    seed: int


def estimate(
    score: ScoreTile,
    num_pairs: int,
    *,
    jsd_score: ScoreTile | None = None,
    pairs_per_tile: int = PAIRS_PER_TILE,
    smile_clip: float = 5.0,
    num_resamples: int = 500,
    confidence: float = 0.95,
    seed: int = 0,
) -> MiPanel:
    """The panel of a critic.

    "info_nce" and "donsker_varadhan" may be shifted by a constant without effect; "nwj" is tight
    where the scores are 1 + log density ratio and far too low elsewhere, "smile" clamps the
    negatives' scores and is no bound. "jsd" is "smile" by a critic that was trained with
    `losses.jsd_objective`, as SMILE's authors do, see `jsd_critic`.

    Args:
      score: of the critic under test: of the x of n pairs with the y of m pairs, `[n, m]`; logits,
        that is cosines over their temperature.
      num_pairs: held-out pairs, at least 2, which the critic has not seen.
      jsd_score: of such a critic; None leaves "jsd" out.
      pairs_per_tile: N, at least 2; all pairs where there are fewer.
      smile_clip: > 0.
      num_resamples: at least 1.
      confidence: in (0, 1).
      seed: >= 0.

    Returns:
      The estimates and the protocol.

    Raises:
      ValueError: options out of range, or scores that are not finite or of another shape.
    """
    size = min(pairs_per_tile, num_pairs)
    if size < 2 or not smile_clip > 0 or num_resamples < 1 or not 0 < confidence < 1:
        raise ValueError(
            f"MI panel: got {num_pairs} pairs in tiles of {pairs_per_tile}, smile_clip "
            f"{smile_clip}, {num_resamples} resamples and confidence {confidence}, wanted at least "
            "2, above 0, at least 1 and a share in (0, 1); 512, 5, 500 and 0.95 are usual"
        )
    rng = np.random.default_rng(seed)
    tiles = rng.permutation(num_pairs)[: num_pairs // size * size].reshape(-1, size)
    counts = [_counts(rng, size, num_resamples) for _ in tiles]
    smile = partial(donsker_varadhan, clip=smile_clip)
    estimators: dict[str, Estimator] = {**ESTIMATORS, "smile": smile}
    tables = [_table(score, rows) for rows in tiles]
    values = {name: _values(each, tables, counts) for name, each in estimators.items()}
    if jsd_score is not None:
        values["jsd"] = _values(smile, [_table(jsd_score, rows) for rows in tiles], counts)
    log_n = math.log(size)
    return MiPanel(
        estimates={name: _interval(each, confidence) for name, each in values.items()},
        log_n=log_n,
        saturated=bool(values["info_nce"][0] > SATURATED * log_n),
        pairs_per_tile=size,
        num_tiles=len(tiles),
        num_pairs=num_pairs,
        num_resamples=num_resamples,
        confidence=confidence,
        smile_clip=smile_clip,
        seed=seed,
    )


def info_nce(scores: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """InfoNCE bound (van den Oord et al. 2018, arXiv 1807.03748), rows are anchors.

        mean_i  s_ii - log (exp s_ii + sum_j!=i exp s_ij) + log N

    Args:
      scores: float64 `[N, N]`, pairs on the diagonal.
      counts: float64 `[R, N]`, how often each pair is there. Copies of a pair are not each other's
        negatives.

    Returns:
      `[R]`, nats, at most the logarithm of the number of pairs.
    """
    best = scores.max(axis=1)
    terms = np.exp(scores - best[:, None])
    own = np.diag(terms).copy()
    np.fill_diagonal(terms, 0)
    num_negatives = counts.sum(axis=1, keepdims=True) - counts
    values = np.diag(scores) - best - np.log(own + counts @ terms.T) + np.log1p(num_negatives)
    return (counts * values).sum(axis=1) / counts.sum(axis=1)


def donsker_varadhan(scores: np.ndarray, counts: np.ndarray, clip: float = math.inf) -> np.ndarray:
    """Donsker-Varadhan bound, or SMILE (Song and Ermon 2020, arXiv 1910.06222) with a clip.

        mean_i s_ii - log mean_i!=j exp clamp(s_ij, -clip, clip)

    Arguments and copies as in `info_nce`; NaN where a resample has no two different pairs.
    """
    return _positive(scores, counts) - _log_mean_exp(np.clip(scores, -clip, clip), counts)


def nwj(scores: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Nguyen-Wainwright-Jordan bound; -inf where an exponential passes the largest float.

        mean_i s_ii - mean_i!=j exp(s_ij - 1)

    Arguments and copies as in `info_nce`; NaN where a resample has no two different pairs.
    """
    with np.errstate(over="ignore"):
        return _positive(scores, counts) - np.exp(_log_mean_exp(scores, counts) - 1)


ESTIMATORS: Mapping[str, Estimator] = {
    "info_nce": info_nce,
    "nwj": nwj,
    "donsker_varadhan": donsker_varadhan,
}


def _positive(scores: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Mean score of the pairs, `[R]`."""
    mean: np.ndarray = counts @ np.diag(scores) / counts.sum(axis=1)
    return mean


def _log_mean_exp(scores: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Of the negatives, `[R]`."""
    away = ~np.eye(len(scores), dtype=bool)
    best = scores[away].max()
    terms = np.where(away, np.exp(np.minimum(scores - best, 0)), 0)
    total = ((counts @ terms) * counts).sum(axis=1)
    number = counts.sum(axis=1) ** 2 - (counts**2).sum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        mean: np.ndarray = np.log(total / number) + best
    return mean


def _counts(rng: np.random.Generator, size: int, num_resamples: int) -> np.ndarray:
    """Every pair once in the first row, then resamples with replacement: `[1 + R, N]`."""
    drawn = rng.multinomial(size, np.full(size, 1 / size), size=num_resamples)
    return np.concatenate([np.ones((1, size)), drawn])


def _table(score: ScoreTile, rows: np.ndarray) -> np.ndarray:
    """The scores of a tile, float64 `[N, N]`."""
    scores = np.asarray(score(rows, rows), np.float64)
    if scores.shape != (len(rows), len(rows)) or not np.isfinite(scores).all():
        raise ValueError(
            f"MI panel: got scores of shape {scores.shape}, {int((~np.isfinite(scores)).sum())} of "
            f"them NaN or infinite, wanted finite ones [{len(rows)}, {len(rows)}]; a critic scores "
            "all x of its first rows against all y of its second"
        )
    return scores


def _values(estimator: Estimator, tables: list[np.ndarray], counts: list[np.ndarray]) -> np.ndarray:
    """The mean over the tiles: first on the pairs themselves, then on the resamples."""
    each = [estimator(table, count) for table, count in zip(tables, counts, strict=True)]
    return np.mean(each, axis=0)


def _interval(values: np.ndarray, confidence: float) -> dict[str, float | None]:
    resampled = values[1:][~np.isnan(values[1:])]
    ends = [(1 - confidence) / 2, (1 + confidence) / 2]
    # Not interpolated, for values that may be infinite.
    low, high = np.quantile(resampled, ends, method="nearest") if resampled.size else [np.nan] * 2
    named = {"nats": values[0], "low": low, "high": high}
    return {name: float(each) if np.isfinite(each) else None for name, each in named.items()}
