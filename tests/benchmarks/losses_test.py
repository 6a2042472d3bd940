import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks import losses
from benchmarks.loss_costs import memory, rings, timing
from benchmarks.loss_costs.cases import CASES, make_cases, value_and_gradient
from benchmarks.loss_costs.goals import Goal
from tvdim_jax.critics import ConcatMLP

TINY = make_cases(
    width=8,
    amdim_width=8,
    local_width=4,
    mlp_width=6,
    lmi_widths=(5, 6),
    critic=ConcatMLP(hidden=(8, 4)),
)
NOT_IN_TORCH = {"srcl", "ranking", "lmi_local"}


@pytest.mark.parametrize("case", TINY.values(), ids=lambda case: case.name)
def test_all_forms_compute_one_loss(case):
    inputs = case.inputs(6, jnp.float32)

    def streamed(*operands):
        return case.streamed(*operands, block_size=4)

    dense, blocks = (jax.jit(value_and_gradient(f))(*inputs) for f in (case.dense, streamed))
    timing.check_agreement({"streamed": blocks, "dense": dense}, 1e-5)
    for got, wanted in zip(jax.tree.leaves(blocks), jax.tree.leaves(dense), strict=True):
        np.testing.assert_allclose(got, wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.filterwarnings("ignore:.torch.jit.script:DeprecationWarning")  # by torch of itself
@pytest.mark.parametrize("case", TINY.values(), ids=lambda case: case.name)
def test_pytorch_computes_the_same(case):
    pytest.importorskip("torch", reason="PyTorch is compared with where it is installed")
    from benchmarks.loss_costs import torch_forms

    inputs = case.inputs(6, jnp.float32)
    forms = torch_forms.make_forms(case.name, inputs)
    results = {name: form() for name, form in forms.items() if name != "torch_compile"}
    ours = value_and_gradient(case.dense)(*inputs)
    timing.check_agreement({"streamed": ours, **results}, 1e-4)
    assert bool(results) == (case.name not in NOT_IN_TORCH)


def test_flop_floor_is_that_of_four_products():
    # B = 32,768, D = 512: 4 * 2 * B^2 * D operations
    assert CASES["info_nce"].floor_seconds(32768, 790e12) == pytest.approx(5.567e-3, rel=1e-3)
    assert CASES["amdim"].floor_seconds(4096, 790e12) == pytest.approx(34.4e-3, rel=1e-2)
    assert CASES["local"].floor_seconds(4096, 790e12) == pytest.approx(68.2e-3, rel=1e-2)
    assert CASES["mlp"].floor_seconds(4096, 790e12) == pytest.approx(89.2e-3, rel=1e-2)


def test_forms_that_disagree_are_an_error():
    one, other = (jnp.float32(2), [jnp.ones(4)]), (jnp.float32(2), [jnp.ones(5)])
    with pytest.raises(ValueError, match=r"other: got .* wanted those of streamed, .*say nothing"):
        timing.check_agreement({"streamed": one, "other": other}, 1e-2)
    timing.check_agreement({"streamed": one, "other": one}, 1e-6)


def test_forms_take_turns_in_both_orders_and_the_best_round_counts():
    order, now = [], [0.0]
    costs = {"a": iter([5.0, 3.0, 4.0]), "b": iter([1.0, 2.0, 6.0])}

    def form(name):
        def run():
            order.append(name)
            now[0] += next(costs[name])

        return run

    best = timing.best_seconds(
        {"a": form("a"), "b": form("b")}, lambda: now[0], budget_seconds=18.5
    )
    assert best == {"a": 3.0, "b": 1.0}
    assert order == ["b", "a", "a", "b", "b", "a"]


@pytest.mark.parametrize(("limit", "found"), [(5000, 4992), (99, 0), (10**9, 2**19)])
def test_largest_batch_is_found_within_a_32nd(limit, found):
    assert memory.largest_batch(lambda batch: batch <= limit, 128) == found


def test_goals_know_both_senses_and_a_stretch():
    assert Goal("x", 2.0, "at most", 2.1).met
    assert not Goal("x", 2.0, "at least", 2.1).met
    record = Goal("x", 1.1, "at most", 1.15, 1.0).record()
    assert record["met"]
    assert record["stretch_met"] is False
    assert Goal("x", 1.1, "at most", 1.15).record()["stretch_met"] is None


@pytest.mark.parametrize("name", ["info_nce", "lmi_local"])
def test_ring_program_sends_shards_and_gathers_nothing(monkeypatch, name):
    monkeypatch.setattr(rings, "CASES", TINY)
    ((row, goals),) = rings.ring_rows({name: (16,)})
    assert row["all_gathers"] == 0
    assert row["permutes"] > 0
    assert row["ring_bytes"] > 0
    assert [goal.met for goal in goals] == [True]


def test_compared_all_gather_form_is_the_same_loss_and_is_seen_gathering():
    case = TINY["info_nce"]
    compiled = rings.compile_ring(rings.all_gather_info_nce, case.shapes(16))
    assert rings.collectives(compiled.as_text())["all_gathers"] > 0
    inputs = case.inputs(16, jnp.float32)
    placed = jax.tree.map(jax.device_put, inputs, compiled.input_shardings[0])
    results = {"streamed": case.dense(*inputs), "gathered": compiled(*placed)[0]}
    np.testing.assert_allclose(results["gathered"], results["streamed"], rtol=1e-5)


def test_command_prints_and_writes_what_was_asked_for(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(memory, "DENSE_OVER_STREAMED", [("info_nce", 64, 1e9)])
    monkeypatch.setattr(memory, "AT_MOST_GIB", [("srcl", 64, 1.0)])
    monkeypatch.setattr(memory, "DOUBLED", {})
    losses.main(["--only", "memory", "--json", str(tmp_path / "out" / "losses.json")])
    record = json.loads((tmp_path / "out" / "losses.json").read_text())
    assert [row["case"] for row in record["memory"]] == ["info_nce", "srcl"]
    assert [goal["met"] for goal in record["goals"]] == [False, True]
    assert record["versions"]["jax"] == jax.__version__
    printed = capsys.readouterr().out
    assert "MISSED" in printed
    assert "dense MiB" in printed


def test_command_names_the_parts_it_knows(capsys):
    with pytest.raises(SystemExit) as stopped:
        losses.main(["--only", "memory,speed"])
    assert stopped.value.code == 2
    assert "got speed, wanted some of memory, limits, ring, time" in capsys.readouterr().err


def test_help_has_an_example(capsys):
    with pytest.raises(SystemExit):
        losses.main(["--help"])
    assert "python benchmarks/losses.py --only ring,limits" in capsys.readouterr().out
