"""The costs of the docs are those of the programs, and these those of the formulas."""

import re
from pathlib import Path

import pytest

from benchmarks.srcl_cost import PIECES, PLACES, WIDTH, forward_gflop, update_gflop

PAGE = (Path(__file__).parents[2] / "docs" / "srcl.md").read_text(encoding="utf-8")
BLOCK = 12 * WIDTH**2  # weights of a transformer block: attention 4, MLP 8


@pytest.fixture(scope="module")
def parts():
    return forward_gflop()


def attention(asks, reads):
    """Operations of scores and their mean."""
    return 4 * asks * reads * WIDTH


def test_the_programs_cost_what_the_matrix_products_do(parts):
    """Softmax, norms and activations come on top: a few percent."""
    image = 12 * (2 * BLOCK * PLACES + attention(PLACES, PLACES)) + 2 * 256 * WIDTH**2
    text = 6 * (2 * BLOCK * PIECES + attention(PIECES, PIECES))
    across = 2 * WIDTH**2 * (2 * PIECES + 2 * PLACES) + attention(PIECES, PLACES)
    words = 2 * PIECES * WIDTH * (30_522 + WIDTH)
    wanted = [image, text, text + 6 * across, words]
    for (name, got), each in zip(parts.items(), wanted, strict=True):
        assert 1 <= got * 1e9 / each < 1.03, name


def test_the_page_has_these_numbers(parts):
    assert dict(re.findall(r"^\| ([a-z ]+) \| ([0-9.]+) \|$", PAGE, flags=re.MULTILINE)) == {
        name: f"{value:.1f}" for name, value in parts.items()
    }
    student, teacher, both = (f"{value:.1f}" for value in update_gflop(parts).values())
    text = " ".join(PAGE.split())
    assert f"{student} for the model. The teacher adds its forward pass, {teacher}." in text
    assert f"Together {both}, so 30 epochs of 4.0 million images are 3.5e19 operations" in text
