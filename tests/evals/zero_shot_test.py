import json

import numpy as np
import pytest

from tvdim_jax.evals import zero_shot
from tvdim_jax.evals.auc import roc_auc
from tvdim_jax.evals.labelled import LabelledFeatures

NAMES = ("cat", "dog", "{boat}", "tree", "house", "car", "moon")
TEMPLATES = ("a {}", "{} here", "some {} there")
WIDTH = 5


def embed_texts(texts):
    """A vector of its own for each text, of any length."""
    return np.stack(
        [
            np.random.default_rng(list(text.encode())).normal(size=WIDTH) * len(text)
            for text in texts
        ]
    )


def images(n=60):
    rng = np.random.default_rng(0)
    labels = rng.integers(0, len(NAMES), n)
    texts = zero_shot.class_features(embed_texts, NAMES, TEMPLATES)
    return LabelledFeatures(texts[labels] + rng.normal(size=(n, WIDTH)), labels)


def loop_cosines(features):
    table = np.zeros((len(features), len(NAMES)))
    for c, name in enumerate(NAMES):
        mean = np.zeros(WIDTH)
        for template in TEMPLATES:
            before, after = template.split("{}")
            vector = embed_texts([before + name + after])[0]
            mean += vector / np.linalg.norm(vector) / len(TEMPLATES)
        for i, image in enumerate(features):
            table[i, c] = image @ mean / np.linalg.norm(image) / np.linalg.norm(mean)
    return table


def test_equals_a_loop():
    test = images()
    found = zero_shot.evaluate(test, embed_texts, NAMES, templates=TEMPLATES)
    top_1, top_5, by_class = 0, 0, {}
    for row, label in zip(loop_cosines(test.features), test.labels, strict=True):
        order = np.argsort(-row)
        top_1 += order[0] == label
        top_5 += label in order[:5]
        by_class.setdefault(int(label), []).append(order[0] == label)
    assert found.metric == "accuracy"
    assert found.value == pytest.approx(top_1 / 60)
    assert found.top_5_accuracy == pytest.approx(top_5 / 60)
    recalls = [np.mean(hits) for hits in by_class.values()]
    assert found.class_mean_accuracy == pytest.approx(np.mean(recalls))
    assert 0.4 < found.value < found.top_5_accuracy < 1
    assert (found.num_test, found.num_classes, found.class_names) == (60, 7, NAMES)
    assert json.loads(json.dumps(found._asdict()))["templates"] == list(TEMPLATES)


def test_several_labels_are_scored_by_the_auc_of_their_cosines():
    test = images()
    several = np.eye(7, dtype=bool)[test.labels]
    several[:, 6] = False
    where = np.random.default_rng(1).random(several.shape) < 0.8
    part = LabelledFeatures(test.features, several, where)
    found = zero_shot.evaluate(part, embed_texts, NAMES, templates=TEMPLATES)
    table = loop_cosines(test.features)
    aucs = [roc_auc(table[where[:, c], c], several[where[:, c], c]) for c in range(6)]
    assert found.metric == "mean_auc"
    assert found.value == pytest.approx(np.mean(aucs))
    assert found.classes_skipped == (6,)
    assert found.top_5_accuracy is None
    assert found.class_mean_accuracy is None


def test_few_classes_have_no_top_5():
    test = images()
    part = LabelledFeatures(test.features, test.labels % 2)
    assert zero_shot.evaluate(part, embed_texts, NAMES[:2]).top_5_accuracy is None


@pytest.mark.parametrize("templates", [zero_shot.PHOTO_TEMPLATES, zero_shot.XRAY_TEMPLATES])
def test_shipped_templates_give_different_texts(templates):
    prompts = []

    def note(texts):
        prompts.extend(texts)
        return embed_texts(texts)

    zero_shot.class_features(note, ["x"], templates)
    assert len(set(prompts)) == len(templates) >= 6
    assert all("x" in prompt and "{" not in prompt for prompt in prompts)


def test_errors():
    test = images()
    with pytest.raises(ValueError, match=r"labels of 7 classes and .* wanted the 3 class names"):
        zero_shot.evaluate(test, embed_texts, NAMES[:3])
    with pytest.raises(ValueError, match=r"templates \['a'\] to put them into, wanted at least"):
        zero_shot.evaluate(test, embed_texts, NAMES, templates=("a {}", "a"))
    with pytest.raises(ValueError, match="text features hold NaN"):
        zero_shot.evaluate(test, lambda texts: embed_texts(texts) * np.nan, NAMES)
    narrow = test._replace(features=test.features[:, :3])
    with pytest.raises(ValueError, match=r"images of width 3, wanted .* their width 5"):
        zero_shot.evaluate(narrow, embed_texts, NAMES)
