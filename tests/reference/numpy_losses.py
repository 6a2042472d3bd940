"""Slow float64 loops over one score matrix, written from the equations and not from the code."""

import math

import numpy as np


def pair_kinds(n, m, **words):
    """Positives and negatives [n, m] of the mask words, pair by pair."""
    matrices = [name for name in ("where", "positive_mask") if name in words]
    words = words | {name: np.broadcast_to(words[name], (n, m)) for name in matrices}
    positive, negative = np.zeros((n, m), bool), np.zeros((n, m), bool)
    for i in range(n):
        for j in range(m):
            if not _allowed(i, j, words):
                continue
            positive[i, j] = _is_positive(i, j, words)
            negative[i, j] = not positive[i, j] and not _grouped(i, j, words)
    return positive, negative


def _allowed(i, j, words):
    return (
        ("x_where" not in words or words["x_where"][i])
        and ("y_where" not in words or words["y_where"][j])
        and ("where" not in words or words["where"][i][j])
    )


def _is_positive(i, j, words):
    if "positive_mask" in words:
        return bool(words["positive_mask"][i][j])
    if "x_positive_id" in words:
        return words["x_positive_id"][i] == words["y_positive_id"][j]
    return i == j


def _grouped(i, j, words):
    if "x_group_id" not in words:
        return False
    x, y = np.atleast_1d(words["x_group_id"][i]), np.atleast_1d(words["y_group_id"][j])
    return any(a == b and a != -1 for a, b in zip(x, y, strict=True))


def info_nce_rows(scores, positive, negative):
    """Mean cross-entropy and mean log(1 + negatives) over the anchors that have a positive."""
    losses, ceilings = [], []
    for i in range(scores.shape[0]):
        if not positive[i].any():
            continue
        others = [scores[i, j] for j in np.flatnonzero(negative[i])]
        each = []
        for p in np.flatnonzero(positive[i]):
            top = max([scores[i, p], *others])
            total = sum(math.exp(s - top) for s in [scores[i, p], *others])
            each.append(top + math.log(total) - scores[i, p])
        losses.append(sum(each) / len(each))
        ceilings.append(math.log(1 + len(others)))
    if not losses:
        return 0.0, 0.0
    return sum(losses) / len(losses), sum(ceilings) / len(ceilings)


def info_nce_loss(scores, *, temperature=1.0, symmetric=True, **words):
    scores = np.asarray(scores, np.float64) / temperature
    positive, negative = pair_kinds(*scores.shape, **words)
    rows = info_nce_rows(scores, positive, negative)[0]
    if not symmetric:
        return rows
    return 0.5 * (rows + info_nce_rows(scores.T, positive.T, negative.T)[0])


def info_nce_lower_bound(scores, **words):
    scores = np.asarray(scores, np.float64)
    loss, ceiling = info_nce_rows(scores, *pair_kinds(*scores.shape, **words))
    return ceiling - loss


def distillation_rows(scores, target, positive, negative):
    """Mean cross-entropy to the softmax of the target over the anchors that have a positive."""
    losses = []
    for i in range(scores.shape[0]):
        if positive[i].any():
            places = np.flatnonzero(positive[i] | negative[i])
            logs, probs = (
                [row[i, j] - log_sum_exp([row[i, k] for k in places]) for j in places]
                for row in (scores, target)
            )
            losses.append(-sum(math.exp(q) * p for q, p in zip(probs, logs, strict=True)))
    return mean(losses)


def distillation_loss(scores, target, *, temperature, symmetric=True, **words):
    positive, negative = pair_kinds(*scores.shape, **words)
    matrices = [scores / temperature, target / temperature, positive, negative]
    rows = distillation_rows(*matrices)
    return (rows + distillation_rows(*(m.T for m in matrices))) / 2 if symmetric else rows


def margin_ranking_rows(scores, positive, negative, margin, negatives):
    total, count = 0.0, 0
    for i in range(scores.shape[0]):
        if not positive[i].any():
            continue
        others = sorted((scores[i, j] for j in np.flatnonzero(negative[i])), reverse=True)
        if negatives == "hardest":
            others = others[:1]
        elif negatives != "all":
            others = others[:negatives]
        for other in others:
            hinges = [max(0.0, margin - scores[i, p] + other) for p in np.flatnonzero(positive[i])]
            total += sum(hinges) / len(hinges)
            count += 1
    return total / count if count else 0.0


def margin_ranking_loss(scores, *, margin=0.2, negatives="all", **words):
    scores = np.asarray(scores, np.float64)
    positive, negative = pair_kinds(*scores.shape, **words)
    return margin_ranking_rows(scores, positive, negative, margin, negatives) + margin_ranking_rows(
        scores.T, positive.T, negative.T, margin, negatives
    )


def positives_and_negatives(scores, **words):
    """Positive scores of each anchor that has one, and the negatives of the whole matrix.

    Both empty where the words leave no positive or no negative: then every bound is 0.
    """
    scores = np.asarray(scores, np.float64)
    positive, negative = pair_kinds(*scores.shape, **words)
    anchors = [list(scores[i][positive[i]]) for i in range(len(scores)) if positive[i].any()]
    others = [scores[i, j] for i, j in np.argwhere(negative)]
    return (anchors, others) if anchors and others else ([], [])


def mean(values):
    return sum(values) / len(values)


def softplus(value):
    return max(value, 0.0) + math.log1p(math.exp(-abs(value)))


def log_sum_exp(values):
    top = max(values)
    return top + math.log(sum(math.exp(value - top) for value in values))


def donsker_varadhan_lower_bound(scores, **words):
    anchors, others = positives_and_negatives(scores, **words)
    if not anchors:
        return 0.0
    return mean([mean(each) for each in anchors]) - (log_sum_exp(others) - math.log(len(others)))


def nwj_lower_bound(scores, **words):
    anchors, others = positives_and_negatives(scores, **words)
    if not anchors:
        return 0.0
    exponentials = [math.exp(s - 1) if s < 700 else math.inf for s in others]
    return mean([mean(each) for each in anchors]) - mean(exponentials)


def smile_lower_bound(scores, *, clip=5.0, **words):
    anchors, others = positives_and_negatives(scores, **words)
    if not anchors:
        return 0.0
    clipped = [math.exp(min(max(s, -clip), clip)) for s in others]
    return mean([mean(each) for each in anchors]) - math.log(mean(clipped))


def jsd_objective(scores, **words):
    anchors, others = positives_and_negatives(scores, **words)
    if not anchors:
        return 0.0
    rows = [mean([-softplus(-s) for s in each]) for each in anchors]
    return mean(rows) - mean([softplus(s) for s in others])


def released_lmi_infonce_loss(scores, **words):
    anchors, others = positives_and_negatives(scores, **words)
    if not anchors:
        return 0.0
    return log_sum_exp(others) - mean([mean(each) for each in anchors])


def sigmoid_pair_loss(scores, **words):
    scores = np.asarray(scores, np.float64)
    positive, negative = pair_kinds(*scores.shape, **words)
    total, num_anchors = 0.0, 0
    for row, same, other in zip(scores, positive, negative, strict=True):
        num_anchors += same.any()
        if same.any() and other.any():
            total += sum(softplus(-s) for s in row[same]) + sum(softplus(s) for s in row[other])
    return total / num_anchors if num_anchors else 0.0


def unit_norm(features):
    features = np.asarray(features, np.float64)
    return features / np.linalg.norm(features, axis=-1, keepdims=True)


def local_scores(regions, tokens, region_where, token_where, region_pool):
    """Scores [N, M, T] of every image, text and token; 0 where either side has nothing real."""
    scores = np.zeros((len(regions), len(tokens), tokens.shape[1]))
    for n, m, t in np.ndindex(*scores.shape):
        products = [
            float(np.dot(regions[n, r].astype(np.float64), tokens[m, t]))
            for r in np.flatnonzero(region_where[n])
        ]
        if not products or not token_where[m, t]:
            continue
        if region_pool == "max":
            scores[n, m, t] = max(products)
        elif region_pool == "mean":
            scores[n, m, t] = sum(products) / len(products)
        else:
            exponentials = [math.exp(product) for product in products]
            scores[n, m, t] = math.log(sum(exponentials) / len(exponentials))
    return scores


def directed_info_nce(source, targets, clip):
    """Loss and regularizer of sources [B, D] against maps [B, h, w, D]."""
    batch, height, width, depth = targets.shape
    maps = np.asarray(targets, np.float64).reshape(batch, height * width, depth)
    raw = np.array(
        [
            [[np.dot(source[i].astype(np.float64), v) / math.sqrt(depth) for v in maps[j]]
             for j in range(batch)]
            for i in range(batch)
        ]
    )  # fmt: skip
    clipped = clip * np.tanh(raw / clip)
    losses = []
    for i in range(batch):
        others = sum(math.exp(z) for j in range(batch) if j != i for z in clipped[i, j])
        losses += [math.log(math.exp(z) + others) - z for z in clipped[i, i]]
    return sum(losses) / len(losses), 0.05 * float(np.mean(raw**2))
