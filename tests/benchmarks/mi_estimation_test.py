import contextlib
import functools
import io
import json
import statistics

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks import mi_estimation
from benchmarks.mi_estimates import critic, program, report, tasks
from benchmarks.mi_estimates.tasks import Part, Task, inputs, prepare

ROWS, NATS = 800, 0.8


def gaussians(nats, rows=ROWS, seed=0):
    """x and y `[rows, 1]`, standard normal with this mutual information."""
    rho = np.sqrt(1 - np.exp(-2 * nats))
    x, noise = np.random.default_rng(seed).normal(size=(2, rows, 1))
    return x, rho * x + np.sqrt(1 - rho**2) * noise


def write(path, x, y, **rest):
    np.savez(path, x=x, y=y, **rest)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tasks")
    x, y = gaussians(NATS)
    write(folder / "dependent.npz", np.exp(3 * x), y, mutual_information_nats=NATS)
    write(folder / "independent.npz", x, y[::-1], mutual_information_nats=0.0)
    write(folder / "constant.npz", np.ones_like(x), y, mutual_information_nats=0.0)
    return folder


@pytest.fixture(scope="module")
def result(folder, tmp_path_factory):
    """Text of the JSON and of the tables, of a short training of a small critic."""
    out, stdout, stderr = tmp_path_factory.mktemp("out") / "a.json", io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch:
        for module, constants in {
            critic: {"WIDTH": 16, "PAIR_HIDDEN": (8,)},
            tasks: {"PADDED": 1},
            program: {"EPOCHS": 10, "LEARNING_RATE": 1e-2, "WEIGHT_DECAY": 0.1},
        }.items():
            for name, value in constants.items():
                patch.setattr(module, name, value)
        words = ["--tasks", str(folder), "--bounds", "DV", "--seeds", "1"]
        with contextlib.redirect_stdout(stdout), contextlib.redirect_stderr(stderr):
            mi_estimation.main([*words, "--json", str(out)])
    program.compiled.cache_clear()
    return out.read_text(), stdout.getvalue(), stderr.getvalue()


def test_estimates_find_what_is_there(result):
    record = json.loads(result[0])
    runs = {run["task"]: run for run in record["runs"]}
    assert runs["dependent"]["estimate"] == pytest.approx(NATS, abs=0.2)
    for task in ("independent", "constant"):
        assert runs[task]["estimate"] == pytest.approx(0, abs=0.06), task
    assert all(run["cpu_seconds"] > 0 and run["wall_seconds"] > 0 for run in runs.values())
    assert runs["dependent"]["truth"] == NATS
    assert record["versions"]["jax"] == jax.__version__


def test_summary_is_that_of_the_runs(result):
    record = json.loads(result[0])
    (total,) = record["bounds"]
    errors = [run["estimate"] - run["truth"] for run in record["runs"]]
    assert total["bound"] == "DV"
    assert total["mean_absolute_error"] == pytest.approx(np.mean(np.abs(errors)))
    assert total["std_over_seeds"] is None  # of one seed
    assert total["compile_seconds"] == sum(run["compile_seconds"] for run in record["runs"]) > 0


def test_tables_show_estimates_beside_the_truth_and_no_path_is_written(result, folder):
    text, printed, progress = result
    record = json.loads(text)
    (row,) = [line for line in printed.splitlines() if " dependent " in line]
    (shown,) = [run["estimate"] for run in record["runs"] if run["task"] == "dependent"]
    assert f" {NATS:.3f} " in row
    assert f" {shown:.3f} ±- " in row
    assert f" {record['bounds'][0]['mean_absolute_error']:.3f} " in printed
    assert str(folder) not in text
    assert "1/3 DV constant seed 0: " in progress
    assert "3/3 DV independent seed 0: " in progress
    assert progress.count("min left") == 3


def test_bounds_stand_side_by_side_with_their_spread_over_seeds(capsys):
    seconds = {"cpu_seconds": 1, "wall_seconds": 2, "compile_seconds": 3}
    errors = {"DV": {"a": (0.1, -0.3), "b": (0.5, 0.5)}, "NWJ": {"a": (0, 0), "b": (0, 0.2)}}
    runs = [
        {"bound": bound, "task": task, "truth": 1.0, "estimate": 1 + error} | seconds
        for bound, tasks in errors.items()
        for task, both in tasks.items()
        for error in both
    ]
    total = report.summary("DV", runs[:4])
    assert total["std_over_seeds"] == pytest.approx(statistics.stdev([0.1, -0.3]) / 2)
    assert total["mean_absolute_error"] == pytest.approx(0.35)
    assert total["mean_error"] == pytest.approx(0.2)
    assert total["largest_error"] == pytest.approx(0.5)
    assert (total["cpu_seconds"], total["wall_seconds"], total["compile_seconds"]) == (1, 2, 12)
    report.print_tables(runs, [total, report.summary("NWJ", runs[4:])])
    printed = capsys.readouterr().out
    assert "│ a    │ 1.000 │ 0.900 ±0.283 │ 1.000 ±0.000 │" in printed
    assert "│ b    │ 1.000 │ 1.500 ±0.000 │ 1.100 ±0.141 │" in printed


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"y": None}, "bad.npz lacks y; wanted x, y, mutual_information_nats"),
        ({"y": np.ones((ROWS - 1, 1))}, "wanted [rows, D_x] and [rows, D_y] of the same 200 rows"),
        ({"x": np.ones(ROWS)}, "bad.npz: got x (800,) and y (800, 1), wanted [rows, D_x]"),
        ({"x": np.full((ROWS, 1), np.nan)}, "bad.npz: got a value that is not finite; leave such"),
    ],
)
def test_bad_tasks_are_named_before_anything_runs(tmp_path, capsys, fields, message):
    x, y = gaussians(NATS)
    arrays = {"x": x, "y": y, "mutual_information_nats": NATS} | fields
    np.savez(tmp_path / "bad.npz", **{k: v for k, v in arrays.items() if v is not None})
    assert_stops(["--tasks", str(tmp_path)], message, capsys)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--tasks", "nowhere"], "--tasks: got nowhere, wanted a folder that holds .npz files"),
        (["--only", "a,b"], "wanted a folder that holds .npz files named with a or b"),
        (["--bounds", "DV,MINE"], "--bounds: got MINE, wanted some of InfoNCE, DV, NWJ, SMILE"),
        (["--seeds", "0"], "--seeds: got 0, wanted at least 1"),
    ],
)
def test_wrong_arguments_are_named(tmp_path, capsys, arguments, message):
    assert_stops(["--tasks", str(tmp_path), *arguments], message, capsys)


def assert_stops(arguments, message, capsys):
    with pytest.raises(SystemExit) as stopped:
        mi_estimation.main(arguments)
    assert stopped.value.code == 2
    assert message in capsys.readouterr().err


def test_help_has_an_example(capsys):
    with pytest.raises(SystemExit):
        mi_estimation.main(["--help"])
    assert "python benchmarks/mi_estimation.py --tasks DIR --only" in capsys.readouterr().out


def test_held_out_rows_shape_no_input_but_their_own():
    x, y = gaussians(NATS)
    whole = prepare(Task("a", x, y, NATS), seed=3)
    assert [len(part.x) for part in whole] == [520, 80, 200]
    held_out = np.random.default_rng(3).permutation(ROWS)[600:]
    changed = x.copy()
    changed[held_out] += 100
    *others, above = prepare(Task("a", changed, y, NATS), seed=3)
    for part, same in zip(others, whole, strict=False):
        np.testing.assert_array_equal(part.x, same.x)
        np.testing.assert_array_equal(part.y, same.y)
    np.testing.assert_allclose(above.x[:, 0], 3.1, atol=0.01)  # above the 520 training rows


def test_inputs_are_ranks_and_a_radius():
    rng = np.random.default_rng(0)
    train, values = rng.normal(size=(999, 2)), np.array([[0.0, 0.0], [9.0, -9.0]])
    got = inputs(values, train)
    assert got.shape == (2, tasks.PADDED)
    assert got.dtype == np.float32
    np.testing.assert_allclose(got[0, :2], 0, atol=0.1)  # the median
    np.testing.assert_allclose(got[1, :2], [3.29, -3.29], atol=0.01)  # 0.5 of 1,000, and 999.5
    assert got[0, 2] < -1
    assert got[1, 2] > 1
    np.testing.assert_array_equal(got[:, 3:], 0)
    cubed = inputs(values**3, train**3)
    np.testing.assert_array_equal(cubed[:, :2], got[:, :2])


def test_a_constant_coordinate_makes_no_large_input():
    train = np.concatenate([np.full((300, 1), 5.0), np.arange(300.0)[:, None]], axis=1)
    for values in (train, train + np.array([[1.0, 0.0]])):
        assert np.abs(inputs(values, train)).max() < 5
    alone = np.full((300, 2), 5.0)
    assert np.abs(inputs(alone, alone)).max() < 1e-6


class Quick(nn.Module):
    """A critic that compiles quickly and can be that of Gaussians: a x y - b (x^2 + y^2) + c."""

    @nn.compact
    def __call__(self, x, y):
        a, b, c = self.param("abc", nn.initializers.zeros, (3,))
        return a * x @ y.T - b * (x**2 + (y**2).T) + c

    def sides(self, x, y):
        return x, y

    def score(self, x, y):
        return self(x, y)


def quick_training(monkeypatch, bound, signs, **constants):
    """[(estimate, epochs)] of each triple of signs of y, on training, stopping, held-out rows."""
    quick = {"CRITIC": Quick(), "LEARNING_RATE": 0.4, "WARMUP_STEPS": 1, "AVERAGING": 0.5}
    for name, value in (quick | constants).items():
        monkeypatch.setattr(program, name, value)
    run = jax.jit(functools.partial(program.train_and_estimate, program.BOUNDS[bound]))
    results = []
    for triple in signs:
        parts = []
        for sign, rows in zip(triple, (640, 100, 640), strict=True):
            x, y = gaussians(NATS, rows, seed=rows + len(parts))
            parts.append(Part(jnp.float32(x), jnp.float32(sign * y)))
        estimate, num_epochs = run(jax.random.key(0), tuple(parts))
        results.append((float(estimate), int(num_epochs)))
    return results


@pytest.mark.parametrize("bound", program.BOUNDS)
def test_every_bound_trains_its_critic_and_judges_it_on_other_rows(monkeypatch, bound):
    (estimate, num_epochs), (opposite, _) = quick_training(
        monkeypatch, bound, [(1, 1, 1), (1, 1, -1)], EPOCHS=12, PATIENCE=12
    )
    assert estimate == pytest.approx(NATS, abs=0.15)
    assert num_epochs == 12
    assert opposite < -1


def test_training_stops_by_its_rows_and_keeps_the_best_weights(monkeypatch):
    # The stopping rows say the opposite, so that every epoch is worse there than the one before.
    signs = [(1, -1, 1)]
    ((soon, soon_epochs),) = quick_training(monkeypatch, "InfoNCE", signs, EPOCHS=6, PATIENCE=2)
    ((late, late_epochs),) = quick_training(monkeypatch, "InfoNCE", signs, EPOCHS=6, PATIENCE=4)
    assert (soon_epochs, late_epochs) == (3, 5)
    assert soon == late
