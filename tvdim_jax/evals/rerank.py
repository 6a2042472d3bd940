"""Retrieval in two stages: the k best by a cheap score, put in order by a matching function."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from tvdim_jax.evals import score_tiles
from tvdim_jax.evals.retrieval import Ranks, partner_ranks_by_scores, recalls
from tvdim_jax.evals.score_tiles import ScoreTile, blocks_of, check_rows, lowest_tie, score_tile

# (rows of n images, rows of n texts) -> how well each pair matches [n]
MatchPairs = Callable[[np.ndarray, np.ndarray], Any]
_WAYS = ("image_to_text", "text_to_image")


def reranked_recalls(
    plain: Ranks, reranked: Ranks, ks: Sequence[int] = (1, 5, 10)
) -> dict[str, float]:
    """What `reranked_ranks` gives, in shares.

    Args:
      plain: by the scores alone.
      reranked: after re-ranking.
      ks: cut-offs, >= 1.

    Returns:
      What `retrieval.recall_at_k` returns, by the scores alone; the same after re-ranking, with
      "reranked_" before each name; of each way the mean over ks, such as
      "reranked_image_to_text_R@mean".
    """
    anew = {f"reranked_{name}": value for name, value in recalls(reranked, ks).items()}
    found = recalls(plain, ks) | anew
    ways = [f"{stage}{way}" for stage in ("", "reranked_") for way in _WAYS]
    means = {f"{way}_R@mean": float(np.mean([found[f"{way}_R@{k}"] for k in ks])) for way in ways}
    return found | means


def reranked_ranks(
    score: ScoreTile,
    match: MatchPairs,
    num_images: int,
    text_image_row: np.ndarray,
    *,
    num_listed: int,
    pairs_per_call: int = 256,
    block_size: int | None = None,
) -> tuple[Ranks, Ranks]:
    """How many candidates stand before each partner, by the scores alone and after re-ranking.

    The `num_listed` best texts of each image, and images of each text, by `score` are ordered anew
    by `match`; all other candidates come behind them, in an order that nobody knows. So a partner
    that is not listed counts as the last. As in `retrieval.recall_at_k`, ties count against us, in
    the list and on the way into it. Memory: `num_listed` numbers for each image and text.

    Args:
      score: see `retrieval.recall_at_k_by_scores`; each tile is asked for at most three times.
      match: `match(image_rows, text_rows) -> [n]`, higher = matches better, such as the logit of a
        matching head; always n = pairs_per_call, some pairs twice, so that it compiles once.
      num_images: N.
      text_image_row: int `[M]`, the image of each text.
      num_listed: candidates to order anew, >= 1; with more than there are, it is all of them.
      pairs_per_call: pairs of one call of `match`, >= 1.
      block_size: images and texts of a tile at most; None is 1,024.

    Returns:
      The ranks of both, see `retrieval.Ranks`.

    Raises:
      ValueError: an argument out of range, or scores or matches that are not finite or of another
        shape.

    Source: Li et al. 2021 (arXiv 2107.07651), section 5, with 128 listed for Flickr30k and 256 for
    COCO.
    """
    rows = check_rows(text_image_row, num_images, (1,))
    if num_listed < 1 or pairs_per_call < 1:
        raise ValueError(
            f"re-ranking: got num_listed={num_listed}, pairs_per_call={pairs_per_call}, wanted at "
            "least 1 of both; 128 and 256 are usual"
        )
    texts_of, images_of = _best(score, num_images, rows, num_listed, block_size)
    queries = np.unique(rows)  # images without a caption ask nothing
    texts_of, every_text = texts_of[queries], np.arange(len(rows))
    by_image = _matches(lambda asks, found: match(queries[asks], found), texts_of, pairs_per_call)
    by_text = _matches(
        lambda asks, found: match(found, every_text[asks]), images_of, pairs_per_call
    )
    num_others = len(rows) - np.bincount(rows)[queries]
    image = np.full(num_images, -1, np.int64)
    image[queries] = _num_before(by_image, rows[texts_of] == queries[:, None], num_others)
    text = _num_before(by_text, images_of == rows[:, None], num_images - 1)
    plain = partner_ranks_by_scores(score, num_images, rows, block_size=block_size)
    return plain, Ranks(image, text)


def _best(
    score: ScoreTile, num_images: int, rows: np.ndarray, num_listed: int, block_size: int | None
) -> tuple[np.ndarray, np.ndarray]:
    """The best texts of each image, int32 `[N, k]`, and the best images of each text `[M, k']`."""
    size = block_size or score_tiles.BLOCK
    texts_of = _Lists(num_images, min(num_listed, len(rows)))
    images_of = _Lists(len(rows), min(num_listed, num_images))
    for images in blocks_of(num_images, size):
        for texts in blocks_of(len(rows), size):
            partners = np.where(texts < 0, -1, rows[texts])
            tile = _partners_last(score_tile(score, images, texts), images, partners)
            texts_of.add(tile, images, texts)
            images_of.add(tile.T, texts, images)
    return texts_of.ids, images_of.ids


class _Lists:
    """The best candidates of each query, so far: `ids` int32 and `scores` `[n, k]`."""

    def __init__(self, num_queries: int, num_listed: int) -> None:
        self.ids = np.full((num_queries, num_listed), -1, np.int32)
        self.scores = np.full((num_queries, num_listed), -np.inf, np.float32)

    def add(self, tile: jax.Array, queries: np.ndarray, candidates: np.ndarray) -> None:
        """Takes in the scores `[b, b']` of one tile; numbers of -1 are filling."""
        scores, ids = _merged(self.scores[queries], self.ids[queries], tile, candidates)
        real = queries >= 0
        self.scores[queries[real]] = np.asarray(scores)[real]
        self.ids[queries[real]] = np.asarray(ids)[real]


@jax.jit
def _merged(
    scores: jax.Array, ids: jax.Array, tile: jax.Array, candidates: jax.Array
) -> tuple[jax.Array, jax.Array]:
    more = jnp.broadcast_to(candidates[None, :], tile.shape)
    tile = jnp.where(more >= 0, tile, -jnp.inf)
    best, place = jax.lax.top_k(jnp.concatenate([scores, tile], axis=1), scores.shape[1])
    return best, jnp.take_along_axis(jnp.concatenate([ids, more], axis=1), place, axis=1)


@jax.jit
def _partners_last(scores: jax.Array, images: jax.Array, partners: jax.Array) -> jax.Array:
    """The scores, those of partners lowered so that what ties with them comes before them."""
    return jnp.where(images[:, None] == partners[None, :], lowest_tie(scores), scores)


def _matches(match: MatchPairs, lists: np.ndarray, pairs_per_call: int) -> np.ndarray:
    """`match` of each query's number and each of its candidates, float32 `[n, k]`."""
    matches = np.empty(lists.size, np.float32)
    for start in range(0, lists.size, pairs_per_call):
        pairs = np.minimum(np.arange(start, start + pairs_per_call), lists.size - 1)
        found = np.asarray(match(pairs // lists.shape[1], lists.ravel()[pairs]))
        if found.shape != pairs.shape or not np.isfinite(found).all():
            raise ValueError(
                f"matches of {pairs.size} pairs: got shape {found.shape}, wanted {pairs.shape} of "
                "finite numbers; look at train/nonfinite_steps and evaluate an earlier checkpoint"
            )
        matches[pairs] = found
    return matches.reshape(lists.shape)


def _num_before(matches: np.ndarray, own: np.ndarray, num_others: Any) -> np.ndarray:
    """Candidates before the best partner, int `[n]`; all others where no partner is listed."""
    best = np.max(np.where(own, matches, -np.inf), axis=1)
    before = ~own & (matches >= np.asarray(lowest_tie(jnp.asarray(best)))[:, None])
    return np.where(np.isfinite(best), before.sum(axis=1), num_others)
