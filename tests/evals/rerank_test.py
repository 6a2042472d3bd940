"""Re-ranking against a loop over sorted candidates, and with scores that are planted."""

import tracemalloc

import numpy as np
import pytest

from tvdim_jax.evals.rerank import reranked_ranks, reranked_recalls
from tvdim_jax.evals.retrieval import recall_at_k_by_scores

WAYS = ("image_to_text", "text_to_image")
ROWS = np.random.default_rng(0).permutation(np.repeat(np.arange(20), [1, 2, 3, 4] * 5))


def planted(seed, strength, num_images=21):
    """Scores of 21 images (the last one has no caption) and 50 texts."""
    scores = np.random.default_rng(seed).normal(size=(num_images, len(ROWS)))
    scores[ROWS, np.arange(len(ROWS))] += strength
    return scores.astype(np.float32)


def rerank(scores, matches, rows=ROWS, ks=(1, 5, 10), **options):
    ranks = reranked_ranks(
        lambda i, j: scores[np.ix_(i, j)],
        lambda i, j: matches[i, j],
        len(scores),
        rows,
        **{"num_listed": 7, "pairs_per_call": 32, "block_size": 8} | options,
    )
    return reranked_recalls(*ranks, ks)


def loop(scores, matches, num_listed, k):
    """ALBEF's evaluation: all that is not listed has the match -100."""
    hits = {way: [] for way in WAYS}
    for way, score, match in zip(WAYS, (scores, scores.T), (matches, matches.T), strict=True):
        for query in range(len(score)):
            listed = sorted(range(score.shape[1]), key=lambda c: -score[query, c])[:num_listed]
            final = {c: match[query, c] if c in listed else -100 for c in range(score.shape[1])}
            best = sorted(final, key=lambda c: -final[c])[:k]
            own = {int(c) for c in range(len(final)) if (ROWS[c] == query if way == WAYS[0]
                                                          else ROWS[query] == c)}  # fmt: skip
            if own:
                hits[way].append(any(c in own and final[c] > -100 for c in best))
    return {way: np.mean(hits[way]) for way in WAYS}


def test_equals_a_loop_over_uneven_tiles_and_keeps_the_plain_numbers():
    scores, matches = planted(1, 1.2), planted(2, 2.0)
    found = rerank(scores, matches)
    plain = recall_at_k_by_scores(lambda i, j: scores[np.ix_(i, j)], 21, ROWS)
    assert plain.items() <= found.items()
    for k in (1, 5):
        for way, wanted in loop(scores, matches, 7, k).items():
            assert found[f"reranked_{way}_R@{k}"] == pytest.approx(wanted)
    assert all(0 < plain[f"{way}_R@1"] < found[f"reranked_{way}_R@1"] < 1 for way in WAYS)
    for name in (*WAYS, *(f"reranked_{way}" for way in WAYS)):
        mean = np.mean([found[f"{name}_R@{k}"] for k in (1, 5, 10)])
        assert found[f"{name}_R@mean"] == pytest.approx(mean)
    assert len(found) == 16


def test_the_right_matches_find_whatever_is_listed():
    scores = planted(3, 1.0)
    right = (ROWS[None, :] == np.arange(21)[:, None]).astype(np.float32)
    found = rerank(scores, right, ks=(1, 7))
    for way in WAYS:
        assert found[f"reranked_{way}_R@1"] == found[f"{way}_R@7"] > found[f"{way}_R@1"]
    # Wrong on everything listed: the partner comes after them, at the end of its list.
    found = rerank(scores, -right, ks=(1, 7))
    assert found["reranked_text_to_image_R@1"] == 0
    assert found["reranked_text_to_image_R@7"] == found["text_to_image_R@7"]


@pytest.mark.parametrize("num_listed", [50, 1000])
def test_with_everything_listed_the_matches_alone_decide(num_listed):
    scores, matches = planted(4, 0.0), planted(5, 1.5)
    found = rerank(scores, matches, num_listed=num_listed)
    alone = recall_at_k_by_scores(lambda i, j: matches[np.ix_(i, j)], 21, ROWS)
    for name, value in alone.items():
        assert found[f"reranked_{name}"] == pytest.approx(value)


def test_ties_count_against_us_on_the_way_in_and_in_the_list():
    right = (ROWS[None, :] == np.arange(21)[:, None]).astype(np.float32)
    flat = np.ones_like(right)
    found = rerank(flat, right)  # equal scores: no partner is listed
    assert {value for name, value in found.items() if "@mean" not in name} == {0.0}
    found = rerank(right, flat)  # each is listed, and ties with all others there
    assert found["text_to_image_R@1"] == 1
    assert found["reranked_text_to_image_R@5"] == 0
    assert found["reranked_text_to_image_R@10"] == 1


def test_memory_follows_the_lists_not_the_matrix():
    num, asked = 2000, set()

    def score(images, texts):
        asked.add((len(images), len(texts)))
        return np.cos(0.1 * (images[:, None] - texts[None, :])).astype(np.float32)

    def match(images, texts):
        asked.add((len(images), len(texts)))
        return -np.abs(images - texts).astype(np.float32)

    tracemalloc.start()
    _, reranked = reranked_ranks(
        score, match, num, np.arange(num), num_listed=4, pairs_per_call=100, block_size=256
    )
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert asked == {(256, 256), (100, 100)}
    assert peak < num**2 * 4 / 2  # half a matrix of float32
    assert np.mean(reranked.image == 0) > 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"num_listed": 0}, "got num_listed=0, pairs_per_call=32, wanted at least 1"),
        ({"pairs_per_call": 0}, "pairs_per_call=0, wanted at least 1 of both"),
        ({"rows": np.array([30])}, r"an image row in \[0, 21\)"),
        ({"matches": np.full((21, 50), np.nan)}, r"of 32 pairs: got shape \(32,\), wanted"),
        ({"matches": np.zeros((21, 50, 1))}, r"got shape \(32, 1\), wanted \(32,\) of finite"),
    ],
)
def test_errors(change, message):
    with pytest.raises(ValueError, match=message):
        rerank(**{"scores": planted(1, 1.0), "matches": planted(2, 1.0)} | change)


def test_a_partner_that_is_not_listed_comes_after_all_texts_of_other_images():
    """Three of the five texts are of image 0, which lists another one: two come before its own."""
    rows = np.array([0, 0, 0, 1, 2])
    scores = np.eye(3, dtype=np.float32)[:, rows]
    scores[0] = [0, 0, 0, 9, 0]
    found = rerank(scores, scores, rows, num_listed=1, ks=(2, 3))
    assert found["reranked_image_to_text_R@2"] == pytest.approx(2 / 3)
    assert found["reranked_image_to_text_R@3"] == 1
