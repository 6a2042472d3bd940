"""Another run's scores: read before, compared after, and what is said of both."""

import json

import numpy as np
import pytest

from tests.reference.label_table import Findings
from tests.reference.tiny_run import tiny_config
from tvdim_jax.config import ConfigError
from tvdim_jax.experiment.against import compare_with, open_other, unlike
from tvdim_jax.experiment.comparison import name_rows, save
from tvdim_jax.experiment.data import Splits
from tvdim_jax.experiment.tasks import Examples

SOURCE = Findings(24, seed=0)
SPLITS = Splits(Findings(40, seed=1, first_subject=500), SOURCE)
LABELS = np.arange(24)[:, None] % 2 == np.array([0, 1])


def scores(rows=24, **changes):
    """Of findings, as a run keeps them."""
    part = slice(0, rows)
    fields = {"rows": np.arange(rows), "names": ("a", "b"), "scores": LABELS[part] * 1.0}
    fields |= {"labels": LABELS[part], "where": np.ones((rows, 2), bool), **changes}
    return {"global": name_rows(Examples(**fields), SOURCE)}


def write(folder, stored, step=7, **images):
    save(folder / "evals" / "findings_set.npz", stored)
    record = {"step": step, "images": {part: {"asked": n, "read": n} for part, n in images.items()}}
    (folder / "evals" / "findings_set.json").write_text(json.dumps(record))


def opened(folder, tasks=("findings", "retrieval")):
    return open_other(folder, tiny_config(), SPLITS, tasks=tasks, set_name="set")


def test_what_fits_is_compared_and_what_differs_is_said(tmp_path):
    write(tmp_path, scores(), train=30, test=24)
    results = {"findings": {"images": {"train": {"asked": 40, "read": 40}}}}
    differences, lines = compare_with(opened(tmp_path), {"findings": scores()}, results, 9)
    assert list(differences["findings"]["global"]) == ["mean", "a", "b"]
    begin = "findings: the runs differ in more than their weights: "
    assert lines == [begin + "step 9 against 7", begin + "training images 40 against 30"]
    against = results["findings"]["against"]
    assert against["unlike"] == ["step 9 against 7", "training images 40 against 30"]
    assert against["differences"] == differences["findings"]
    write(tmp_path, scores(), train=40, test=24)
    assert compare_with(opened(tmp_path), {"findings": scores()}, results, 7)[1] == []


def test_other_images_are_refused_before_any_is_read(tmp_path):
    write(tmp_path, scores(10), train=40, test=10)
    with pytest.raises(ConfigError, match=r"findings, global: .* got 24 and 10, 10 of them in bo"):
        opened(tmp_path)
    write(tmp_path, scores(22), train=40, test=24)  # two could not be read
    assert opened(tmp_path).stored["findings"]["global"].example_id.size == 22
    (tmp_path / "evals" / "findings_set.json").write_text("{")
    with pytest.raises(ConfigError, match=r"cannot read .*findings_set.json: .*again"):
        opened(tmp_path)


def test_what_cannot_be_compared_is_one_line(tmp_path):
    broken = scores(scores=np.full((24, 2), np.nan))
    none = scores(labels=np.zeros((24, 2), bool))
    for stored, why in ((broken, "mean: got scores of .* NaN"), (none, "has no scores of it that")):
        write(tmp_path, stored, test=24)
        message = f"nothing to compare with .*: findings: not compared, as .*{why}"
        with pytest.raises(ConfigError, match=message):
            compare_with(opened(tmp_path), {"findings": stored}, {"findings": {}}, 1)
    write(tmp_path, scores(), test=24)
    stored = {"findings": scores(), "ordinal": scores()}
    _, lines = compare_with(opened(tmp_path), stored, {"findings": {}, "ordinal": {}}, 7)
    assert lines == [f"ordinal: not compared, as {tmp_path} has no scores of it that fit"]


def test_what_of_the_protocol_differs_is_said():
    """One record comes from memory with its tuples, the other one from JSON."""
    own = {"templates": ("a {}", "b {}"), "class_names": ("x", "y", "z")}
    other = {"templates": ["b {}", "a {}"], "class_names": ["x", "y"]}
    assert unlike(own, other) == ["classes to choose from: 3 against 2, not the same"]
    other = {"templates": ["a {}", "c {}"], "class_names": ["x", "y", "z"]}
    assert unlike(own, other) == ["templates: 2 against 2, not the same"]
    tuned = {"protocol": {"num_steps": 300, "learning_rate": 1e-3, "num_trained_parameters": 5}}
    longer = {"protocol": {"num_steps": 600, "learning_rate": 3e-4, "num_trained_parameters": 7}}
    assert unlike(tuned, longer) == [
        "fine-tuning num steps 300 against 600",
        "fine-tuning learning rate 0.001 against 0.0003",
    ]
    assert unlike(tuned, tuned) == unlike({}, tuned) == []
