"""Which encoders a task scores, and what is kept of each for it."""

import numpy as np

from tests.reference.label_table import ENCODERS, TOKENIZER, Table, embed_level
from tests.reference.tiny_run import tiny_config
from tvdim_jax.experiment import evaluation
from tvdim_jax.experiment.data import Splits
from tvdim_jax.experiment.evaluation import evaluate
from tvdim_jax.experiment.tasks import TASK_OF, Outcome

NAMES = ("trained", "random initialisation")


def embed_with_tokens(batch):
    return {**embed_level(batch), "image_tokens": np.zeros((16, 4, 3))}


def scored(monkeypatch, tasks):
    """The tasks with the kinds of features that they were given of each encoder, and the rows."""
    asked = []

    def keep(context):
        asked.append((context.encoders.batch_size, set(context.test.features)))
        return Outcome({}, {})

    for name, task in tasks.items():
        kept = task._replace(run=keep, missing=lambda *_: None)
        monkeypatch.setitem(evaluation.TASK_OF, name, kept)
    embedded = []

    def untrained(batch):
        embedded.append(batch)
        return embed_with_tokens(batch)

    encoders = dict.fromkeys(NAMES, ENCODERS._replace(image=embed_with_tokens))
    encoders[NAMES[1]] = ENCODERS._replace(image=untrained)
    splits = Splits(Table(3), Table(24))
    found = evaluate(encoders, splits, TOKENIZER, tiny_config(), tasks=[*tasks])
    return [kinds for _, kinds in asked], found.rows, len(embedded)


def test_tokens_of_images_are_kept_of_the_trained_encoder_alone(monkeypatch):
    tasks = {
        "reranking": TASK_OF["reranking"]._replace(test=("global", "image_tokens")),
        "retrieval": TASK_OF["retrieval"],
    }
    kinds, rows, _ = scored(monkeypatch, tasks)
    assert kinds == [{"global", "image_tokens"}, {"global", "image_tokens"}, {"global"}]
    assert {name: [*found] for name, found in rows.items()} == {
        "trained": ["reranking", "retrieval"],
        "random initialisation": ["retrieval"],
    }


def test_an_encoder_that_no_task_scores_sees_no_image(monkeypatch):
    tasks = {"reranking": TASK_OF["reranking"]._replace(test=("image_tokens",))}
    kinds, rows, num_embedded = scored(monkeypatch, tasks)
    assert (kinds, num_embedded) == ([{"image_tokens"}], 0)
    assert rows["random initialisation"] == {}
    assert not TASK_OF["vqa"].beside_untrained
    assert TASK_OF["nlvr"].beside_untrained


def test_baselines_of_a_task_that_the_trained_encoder_fails_are_not_scored(monkeypatch):
    asked = []

    def fail(context):
        asked.append(context.encoders)
        raise ValueError("the trained one has collapsed")

    for name, run in (("knn", fail), ("retrieval", lambda _: Outcome({}, {}))):
        task = TASK_OF[name]._replace(run=run, missing=lambda *_: None, takes_pixels=False)
        monkeypatch.setitem(evaluation.TASK_OF, name, task)
    encoders = {NAMES[0]: ENCODERS, NAMES[1]: ENCODERS._replace(critics={"other": 1})}
    splits = Splits(Table(3), Table(24))
    found = evaluate(encoders, splits, TOKENIZER, tiny_config(), tasks=["knn", "retrieval"])
    assert asked == [ENCODERS]
    assert found.missing == {"knn": "the trained one has collapsed"}
    assert [[*rows] for rows in found.rows.values()] == [["retrieval"]] * 2
