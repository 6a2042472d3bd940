import numpy as np
import pytest

from tvdim_jax.evals import representation


def pairs(n=30, width=5):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(n, width)) + 0.5
    return x, 3 * x + rng.normal(size=(n, width))


def unit(vector):
    return vector / np.linalg.norm(vector)


def test_alignment_equals_a_loop():
    x, y = pairs()
    wanted = np.mean([np.linalg.norm(unit(a) - unit(b)) ** 2 for a, b in zip(x, y, strict=True)])
    assert representation.alignment(x, y) == pytest.approx(wanted, rel=1e-5)
    assert representation.alignment(x, 7 * x) == pytest.approx(0, abs=1e-10)
    assert representation.alignment(x, -x) == pytest.approx(4, rel=1e-6)


def test_uniformity_equals_a_loop_over_more_than_one_block(monkeypatch):
    monkeypatch.setattr(representation, "_BLOCK", 7)
    x, _ = pairs()
    terms = [
        np.exp(-2 * np.linalg.norm(unit(a) - unit(b)) ** 2)
        for i, a in enumerate(x)
        for j, b in enumerate(x)
        if i != j
    ]
    assert representation.uniformity(x) == pytest.approx(np.log(np.mean(terms)), rel=1e-5)
    assert representation.uniformity(np.ones((9, 3))) == pytest.approx(0, abs=1e-6)
    assert representation.uniformity(np.array([[1.0, 0], [-2.0, 0]])) == pytest.approx(-8)


def test_effective_rank_counts_directions():
    rng = np.random.default_rng(1)
    directions = np.linalg.qr(rng.normal(size=(6, 6)))[0][:3]
    signs = np.array([[1, 1, 1], [-1, -1, 1], [1, -1, -1], [-1, 1, -1]])  # orthogonal, mean 0
    assert representation.effective_rank(signs @ directions + 100) == pytest.approx(3, rel=1e-6)
    x, _ = pairs()
    values = np.sqrt(np.linalg.eigvalsh(np.cov(x.T)))
    share = values / values.sum()
    wanted = np.exp(-(share * np.log(share)).sum())
    assert representation.effective_rank(x) == pytest.approx(wanted, rel=1e-9)
    assert representation.effective_rank(np.full((8, 4), 0.1, np.float32)) == 0
    assert representation.effective_rank(np.outer(np.arange(9.0), [1, 2])) == pytest.approx(1)


def test_modality_gap_equals_a_loop():
    x, y = pairs()
    centres = [np.mean([unit(row) for row in part], axis=0) for part in (x, y - 3)]
    wanted = np.linalg.norm(centres[0] - centres[1])
    assert wanted > 0.5
    assert representation.modality_gap(x, y - 3) == pytest.approx(wanted, rel=1e-5)
    assert representation.modality_gap(x, x[::-1]) == pytest.approx(0, abs=1e-7)


def test_errors():
    x, y = pairs()
    for measure in (representation.alignment, representation.modality_gap):
        with pytest.raises(ValueError, match=r"got shapes \(30, 5\) and \(9, 5\), wanted one row"):
            measure(x, y[:9])
        with pytest.raises(ValueError, match="y features hold NaN"):
            measure(x, y * np.nan)
    with pytest.raises(ValueError, match="got 1 feature vector, wanted at least 2"):
        representation.uniformity(x[:1])
    with pytest.raises(ValueError, match="features hold NaN"):
        representation.effective_rank(x * np.inf)
