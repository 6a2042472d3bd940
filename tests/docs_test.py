"""The code of the docs runs, and the numbers of the docs are those that were measured."""

import json
import re
from pathlib import Path

import jax
import numpy as np
import pytest

from tests.reference import numpy_losses

ROOT = Path(__file__).parents[1]
N, D, TEMPERATURE = 16, 8, 0.5
X, Y = np.random.default_rng(0).normal(size=(2, N, D)).astype(np.float32) / 2


def python_blocks(page):
    return re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(), flags=re.DOTALL)


def names_of(block):
    """What a block of the docs defines."""
    names = {}
    exec(compile(block, "block of the docs", "exec"), names)
    return names


@pytest.fixture(scope="module")
def blocks():
    return [names_of(block) for block in python_blocks("docs/bounds.md")]


def test_five_lines_give_one_value_and_gradient_however_they_are_split(blocks):
    assert len(blocks) == 3
    expected = numpy_losses.info_nce_loss(X @ Y.T, temperature=TEMPERATURE)
    gradients = []
    for names in blocks:
        value = jax.jit(names["loss"])(TEMPERATURE, X, Y)
        np.testing.assert_allclose(value, expected, rtol=1e-5)
        gradients.append(jax.device_get(names["gradient"](TEMPERATURE, X, Y)))
    for by_temperature, by_x, by_y in gradients:
        assert np.abs(by_x).max() > 1e-3
        np.testing.assert_allclose(by_temperature, gradients[0][0], rtol=1e-4)
        np.testing.assert_allclose(by_x, gradients[0][1], atol=1e-6)
        np.testing.assert_allclose(by_y, gradients[0][2], atol=1e-6)


def test_last_block_uses_all_devices(blocks):
    assert blocks[-1]["mesh"].size == 8


def test_losses_of_the_readme_run():
    dense, streamed = (
        names_of(block)["loss"] for block in python_blocks("README.md") if "def loss" in block
    )
    unit_x, unit_y = (side / np.linalg.norm(side, axis=1, keepdims=True) for side in (X, Y))
    ids = np.arange(N) // 2
    np.testing.assert_allclose(
        jax.jit(dense)(unit_x, unit_y, ids),
        numpy_losses.margin_ranking_loss(
            unit_x @ unit_y.T, margin=0.2, x_group_id=ids, y_group_id=ids
        ),
        rtol=1e-5,
    )
    np.testing.assert_allclose(
        jax.jit(streamed)(TEMPERATURE, X, Y),
        numpy_losses.info_nce_loss(unit_x @ unit_y.T, temperature=TEMPERATURE),
        rtol=1e-5,
    )


def test_estimates_of_the_docs_are_those_of_the_record():
    record = json.loads((ROOT / "benchmarks" / "results" / "mi_estimation.json").read_text())
    page = (ROOT / "docs" / "bounds.md").read_text()
    names = ("mean_absolute_error", "mean_error", "largest_error", "std_over_seeds")
    for total in record["bounds"]:
        cells = [f"{total[name]:.3f}" for name in names]
        row = " | ".join([total["bound"], *cells, f"{total['cpu_seconds']:.1f}"])
        assert f"| {row} |" in page
