"""Fine-tuning as a task, of a model of two matrices on images of one colour."""

import json

import numpy as np
import pytest

from tests.reference.label_table import ENCODERS, TOKENIZER
from tests.reference.linear_model import Colours, linear_model
from tests.reference.tiny_run import tiny_config
from tvdim_jax.evals.auc import roc_auc
from tvdim_jax.experiment.data import Splits
from tvdim_jax.experiment.encoders import Weights, make_encoders
from tvdim_jax.experiment.evaluation import EvaluationError, evaluate
from tvdim_jax.experiment.tasks import Context, Images
from tvdim_jax.experiment.tasks.finetune import FINETUNE

WORDS = {"data__num_threads": 2, "eval__finetune_epochs": 30, "eval__finetune_learning_rate": 0.1}


class Named(Colours):
    """Each image has one label: is there more red than blue?"""

    def labels(self, row):
        return ["red" if self.colour[row, 0] > self.colour[row, 2] else "blue"]

    def ambiguous(self, row):
        return []


class Reported(Named):
    """Two findings, red and blue, each positive or negative, every fifth one uncertain."""

    def _is_unsure(self, row):
        return row % 5 == 0

    def labels(self, row):
        named = [name for name, c in (("red", 0), ("blue", 2)) if self.colour[row, c] > 128]
        return [name for name in named if name == "blue" or not self._is_unsure(row)]

    def ambiguous(self, row):
        return ["red"] if self._is_unsure(row) else []

    def unmentioned(self, row):
        return []


def rows_of(first, last):
    rows = np.arange(first, last)
    return Images(rows, {"global": np.zeros((len(rows), 2), np.float32)})


def context_of(source, config, report=lambda line: None):
    """It learns from the first 64 rows and is scored on 32 others."""
    model = linear_model()
    params, variables = model.init(None)
    encoders = ENCODERS._replace(weights=Weights(model, params, variables))
    parts = rows_of(0, 64), rows_of(64, 96)
    return Context(config, Splits(source, source), *parts, encoders, TOKENIZER, report)


def test_one_label_an_image():
    source, lines = Named(96), []
    outcome = FINETUNE.run(context_of(source, tiny_config(**WORDS), lines.append))
    result = json.loads(json.dumps(outcome.result))
    assert result["metrics"]["accuracy"] > 0.8
    assert result["details"] == {"default": result["metrics"]}
    protocol = result["protocol"]
    wanted = {"num_steps": 30, "batch_size": 64, "layer_decay": 0.75, "schedule": "cosine"}
    assert protocol | wanted | {"num_train": 64, "num_test": 32} == protocol
    examples = outcome.examples["default"]
    assert examples.rows.tolist() == list(range(64, 96))
    assert examples.scores.mean() == pytest.approx(result["metrics"]["accuracy"])
    assert examples.labels is None
    assert lines[-1].startswith("step 30/30")
    assert "eta 0:00:00" in lines[-1]
    assert result["note"].startswith("30 updates of 64 images at rate 0.1, 68 parameters trained")


def test_several_labels_under_the_policy_of_the_config():
    found = {}
    for uncertain, epochs in (("masked", 30), ("positive", 1)):
        words = {**WORDS, "eval__uncertain": uncertain, "eval__finetune_epochs": epochs}
        config = tiny_config(**words, eval__finetune_protocol="lmi_tuned")
        outcome = FINETUNE.run(context_of(Reported(96), config))
        found[uncertain] = outcome.result
        assert outcome.result["protocol"]["schedule"] == "constant"
        assert list(outcome.result["details"]) == ["lmi_tuned"]
        examples = outcome.examples["lmi_tuned"]
        assert examples.names == ("blue", "red")
        for place, name in enumerate(examples.names):
            known = examples.where[:, place]
            auc = roc_auc(examples.scores[known, place], examples.labels[known, place])
            assert outcome.result["aucs"][name] == pytest.approx(auc)
    masked, positive = found["masked"], found["positive"]
    assert masked["metrics"]["mean_auc"] > 0.8
    assert masked["counts"]["red"]["masked"] == 7  # 65, 70, ... 95
    assert positive["counts"]["red"]["masked"] == 0
    assert "uncertain labels masked" in masked["note"]
    assert "; 30 updates of 64 images" in masked["note"]
    assert masked["protocol"]["labels_per_image"] == "several"


def test_what_is_missing():
    source = Splits(Named(96), Named(96))
    assert FINETUNE.missing(tiny_config(), source) is None
    frozen = {"eval__finetune_protocol": "lmi_frozen"}
    assert FINETUNE.missing(tiny_config(**frozen), source) == (
        "config.eval.finetune_protocol='lmi_frozen' freezes stages 1 to 5 of resnet256_6_2_1, "
        "which amdim_tiny has not; take 'default' or 'lmi_tuned'"
    )
    frozen["model__image"] = "resnet256_6_2_1"
    assert FINETUNE.missing(tiny_config(**frozen), source) is None
    context = context_of(Named(96), tiny_config())._replace(encoders=ENCODERS)
    with pytest.raises(ValueError, match="needs an encoder that trains; leave the task out"):
        FINETUNE.run(context)


def test_both_encoders_of_an_evaluation_train_and_say_who_they_are():
    """Too high a rate ends it as one line, after the untrained weights said where they are."""
    config = tiny_config(
        **{**WORDS, "eval__finetune_epochs": 20, "eval__finetune_learning_rate": 1e38}
    )
    config.eval.num_train_examples, config.eval.num_test_examples = 64, 32
    model, lines = linear_model(), []
    encoders = {"trained": make_encoders(config, model, *model.init(None))}
    with pytest.raises(EvaluationError, match=r"diverged: .* lower the learning rate 1e"):
        evaluate(
            encoders,
            Splits(Named(64), Named(32)),
            None,
            config,
            tasks=("finetune",),
            report=lines.append,
        )
    assert lines[0].startswith("training part: ")
    lines = [line for line in lines if line.startswith("finetune, ")]
    assert lines[0].startswith("finetune, trained: step  1/20")
