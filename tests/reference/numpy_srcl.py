"""Slow float64 loops of SRCL (arXiv 2305.04474, equations 4 to 9), exponentials written out."""

import math

import numpy as np

from tests.reference.numpy_losses import log_sum_exp, pair_kinds


def row_weights(closeness, norm, delta):
    """Equation 9 for the closenesses s_ij of one anchor's negatives: weights of mean 1."""
    if norm == "ratio":
        raw = [delta / s for s in closeness]
    elif norm == "softmax":
        top = max(delta / s for s in closeness)
        raw = [math.exp(delta / s - top) for s in closeness]
    else:
        raw = [s**-delta for s in closeness]
    return [w * len(raw) / sum(raw) for w in raw]


def similarity_weights(similarity, *, norm="ratio", delta=1.0, **words):
    """Weights [N, M] of the negatives of each row, 0 elsewhere."""
    similarity = np.asarray(similarity, np.float64)
    _, negative = pair_kinds(*similarity.shape, **words)
    return weights_of(np.exp(similarity), negative, norm, delta)


def weights_of(closeness, negative, norm, delta):
    weights = np.zeros(closeness.shape)
    for i in range(len(closeness)):
        if negative[i].any():
            weights[i][negative[i]] = row_weights(closeness[i][negative[i]], norm, delta)
    return weights


def regulated_rows(logits, positive, negative, weights):
    """Equation 4: mean over anchors of -log f_ip / (f_ip + sum_j w_ij f_ij)."""
    losses = []
    for i in range(len(logits)):
        if not positive[i].any():
            continue
        each = []
        for p in np.flatnonzero(positive[i]):
            others = [
                math.log(weights[i, j]) + logits[i, j] - logits[i, p]
                for j in np.flatnonzero(negative[i])
            ]
            each.append(log_sum_exp([0.0, *others]))
        losses.append(sum(each) / len(each))
    return sum(losses) / len(losses) if losses else 0.0


def similarity_regulated_loss(
    scores,
    similarity=None,
    teacher_similarity=None,
    *,
    temperature,
    teacher_share=0.0,
    norm="ratio",
    delta=1.0,
    symmetric=True,
    weight_gradient=False,
    **words,
):
    """`weight_gradient` changes no value: hold `similarity` fixed to differentiate without it."""
    scores = np.asarray(scores, np.float64)
    closeness = np.exp(scores if similarity is None else np.asarray(similarity, np.float64))
    if teacher_similarity is not None:
        taught = np.exp(np.asarray(teacher_similarity, np.float64))
        closeness = teacher_share * taught + (1 - teacher_share) * closeness  # equation 8
    positive, negative = pair_kinds(*scores.shape, **words)
    values = []
    for direction in (np.asarray, np.transpose) if symmetric else (np.asarray,):
        kinds = direction(positive), direction(negative)
        weights = weights_of(direction(closeness), kinds[1], norm, delta)
        values.append(regulated_rows(direction(scores) / temperature, *kinds, weights))
    return sum(values) / len(values)
