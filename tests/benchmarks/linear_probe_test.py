import json

import pytest

from benchmarks import linear_probe


def test_both_reach_one_objective_and_the_figures_are_written(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(linear_probe.SIZES, "small", linear_probe.Size(400, 16, 5))
    file = tmp_path / "results" / "probe.json"
    linear_probe.main(["--json", str(file)])
    ours, theirs = json.loads(file.read_text())["linear_probe"]
    assert (ours["probe"], theirs["probe"]) == ("tvdim_jax", "scikit-learn")
    assert ours["objective_nats"] == pytest.approx(theirs["objective_nats"], rel=1e-4)
    assert ours["accuracy"] == pytest.approx(theirs["accuracy"], abs=0.002)
    assert 0.6 < ours["accuracy"] < 1
    assert min(ours["cpu_seconds"], theirs["cpu_seconds"], ours["first_fit_cpu_seconds"]) > 0
    assert 0 < min(ours["iterations"], theirs["iterations"]) <= 50
    assert "at most 50 iterations, penalty 10" in capsys.readouterr().out


def test_the_full_size_is_the_one_that_is_asked_for():
    assert linear_probe.SIZES["full"] == (50_000, 2_048, 1_000)
