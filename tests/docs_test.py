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
MIB, GIB = 2**20, 2**30
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
    assert len(blocks) == 4
    expected = numpy_losses.info_nce_loss(X @ Y.T, temperature=TEMPERATURE)
    gradients = []
    for names in blocks[:3]:
        value = jax.jit(names["loss"])(TEMPERATURE, X, Y)
        np.testing.assert_allclose(value, expected, rtol=1e-5)
        gradients.append(jax.device_get(names["gradient"](TEMPERATURE, X, Y)))
    for by_temperature, by_x, by_y in gradients:
        assert np.abs(by_x).max() > 1e-3
        np.testing.assert_allclose(by_temperature, gradients[0][0], rtol=1e-4)
        np.testing.assert_allclose(by_x, gradients[0][1], atol=1e-6)
        np.testing.assert_allclose(by_y, gradients[0][2], atol=1e-6)


def test_block_of_the_ring_uses_all_devices(blocks):
    assert blocks[2]["mesh"].size == 8


def test_regions_and_tokens_of_the_docs_equal_the_loop(blocks):
    regions, tokens = (
        np.random.default_rng(1).normal(size=(N, many, D)).astype(np.float32) for many in (5, 3)
    )
    scores = np.einsum("nrd,mtd->nmrt", regions, tokens).max(2).mean(2)
    np.testing.assert_allclose(
        jax.jit(blocks[3]["loss"])(TEMPERATURE, regions, tokens),
        numpy_losses.info_nce_loss(scores, temperature=TEMPERATURE),
        rtol=1e-5,
    )
    gradients = blocks[3]["gradient"](TEMPERATURE, regions, tokens)
    assert all(np.abs(each).max() > 1e-3 for each in gradients)


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


def record_of(name):
    return json.loads((ROOT / "benchmarks" / "results" / name).read_text())


def tables_of(page):
    """Rows of each table of the docs as cells, by the cells of its head."""
    found = {}
    for table in re.findall(r"(?:^\|.*\|\n)+", (ROOT / page).read_text(), flags=re.MULTILINE):
        head, _, *rows = (tuple(line.strip("| \n").split(" | ")) for line in table.splitlines())
        found[head] = rows
    return found


def costs(*columns):
    return tables_of("docs/bounds.md")["loss", *columns]


def test_memory_of_the_docs_is_that_of_the_record():
    record = record_of("losses.json")
    rows = [row for row in record["memory"] if "dense_bytes" in row]
    assert costs("batch", "at once", "streamed", "ratio") == [
        (
            row["case"],
            f"{row['batch']:,}",
            f"{row['dense_bytes'] / MIB:,.0f}",
            f"{row['streamed_bytes'] / MIB:,.1f}",
            f"{row['dense_bytes'] / row['streamed_bytes']:.3g}",
        )
        for row in rows
    ]
    assert costs("at once", "streamed") == [
        (row["case"], f"{row['dense_batch']:,}", f"{row['streamed_batch']:,}")
        for row in record["limits"]
    ]
    assert costs("batch of the ring", "ring", "all-gather") == [
        (
            row["case"],
            f"{row['batch']:,}",
            f"{row['ring_bytes'] / MIB:,.1f}",
            f"{row['all_gather_bytes'] / MIB:,.0f}",
        )
        for row in record["ring"]
        if "all_gather_bytes" in row
    ]
    assert {row["all_gathers"] for row in record["ring"]} == {0}


def test_times_of_the_docs_are_those_of_the_record():
    others = ("dense", "torch_eager", "torch_compile", "open_clip_chunked")
    largest = {row["case"]: row for row in record_of("losses.json")["time"]}
    head = ("batch", "at once", "PyTorch eager", "torch.compile", "open_clip, chunked")
    assert costs(*head) == [
        (
            case,
            f"{row['batch']:,}",
            *(f"{row['over'][other]:.2f}" if other in row["over"] else "-" for other in others),
        )
        for case, row in largest.items()
    ]


def test_every_missed_goal_is_in_the_docs():
    missed = [
        goal
        for goal in record_of("losses.json")["goals"]
        if not goal["met"] or goal["stretch_met"] is False
    ]
    assert tables_of("docs/bounds.md")["missed", "got", "goal", "harder goal"] == [
        (
            goal["what"],
            f"{goal['got']:.4g}",
            f"{goal['wanted']:g}",
            "-" if goal["stretch"] is None else f"{goal['stretch']:g}",
        )
        for goal in missed
    ]
    (worst,) = (goal for goal in missed if not goal["met"])
    assert worst["what"] == "lmi B=64: seconds over published_pair_loop"
    page = " ".join((ROOT / "docs" / "bounds.md").read_text().split())
    assert f"{1 / worst['got']:.0f} times faster than the pair loop" in page


def test_memory_on_an_h200_of_the_docs_is_that_of_the_record():
    record = record_of("losses_h200_compiled.json")
    assert all(goal["met"] for goal in record["goals"])
    assert costs("batch", "block", "GiB") == [
        (
            row["case"],
            f"{row['batch']:,}",
            f"{row['block_size']:,}",
            f"{row['streamed_bytes'] / GIB:.2f}",
        )
        for row in record["compiled"]
    ]


def test_estimates_of_the_docs_are_those_of_the_record():
    record = record_of("mi_estimation.json")
    page = (ROOT / "docs" / "bounds.md").read_text()
    names = ("mean_absolute_error", "mean_error", "largest_error", "std_over_seeds")
    for total in record["bounds"]:
        cells = [f"{total[name]:.3f}" for name in names]
        row = " | ".join([total["bound"], *cells, f"{total['cpu_seconds']:.1f}"])
        assert f"| {row} |" in page


@pytest.mark.parametrize("page", ["README.md", "docs/bounds.md", "docs/results.md", "docs/srcl.md"])
def test_pictures_are_there_in_both_themes_and_name_their_command(page):
    commands = (ROOT / "docs/contributing.md").read_text()
    pictures = re.findall(
        r'<source media="\(prefers-color-scheme: dark\)" srcset="(.*?)_dark.png">\s*'
        r'<img alt=".+?" src="(.*?).png">',
        (ROOT / page).read_text(),
    )
    assert pictures
    for dark, light in pictures:
        assert dark == light
        for name in (light, f"{dark}_dark"):
            assert (ROOT / page).parent.joinpath(f"{name}.png").exists()
        assert f"docs/images/{Path(light).name}.png`" in commands
