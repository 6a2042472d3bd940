"""Which twins a config has, how small they are, and what has none."""

from pathlib import Path

import pytest

from tests.reference.tiny_run import DEMO, FLICKR8K, REPOSITORY, tiny_words
from tvdim_jax.config import ConfigError, load
from tvdim_jax.experiment.trace import trace
from tvdim_jax.experiment.twins import (
    COMPARED,
    IMAGE_TWINS,
    LIMITS,
    TEXT_TWINS,
    make_twins,
    percent,
)
from tvdim_jax.models import IMAGE_VARIANTS, TEXT_VARIANTS

CONFIGS = REPOSITORY / "configs"


def test_shares_in_names_of_files():
    assert [percent(each) for each in (0.0, 0.2, 0.125, 0.6)] == ["0", "20", "12.5", "60"]


def test_one_for_each_level_and_objective():
    twins = make_twins(FLICKR8K, [], (0.0, 0.2))
    losses = ["ranking", "info_nce", "similarity_regulated"]
    assert [(twin.objective, twin.level) for twin in twins] == [
        (loss, level) for level in (0.0, 0.2) for loss in losses
    ]
    assert str(twins[4]) == "info_nce, 20 % of the captions swapped"
    for objective, level, config in twins:
        assert (config.objective.pair_loss, config.data.noise_rate) == (objective, level)
    folder = Path("runs/flickr8k_robustness")
    assert [Path(twin.config.workdir) for twin in twins[2:4]] == [
        folder / "similarity_regulated_noise0",
        folder / "ranking_noise20",
    ]


def test_they_are_small_and_fresh():
    given = ("--config.model.text_weights=BERT", "--config.model.image_weights=VIT")
    twin = make_twins(str(CONFIGS / "coco_srcl.py"), given[:1], (0.4,))[0].config
    assert twin.model.text_weights == "BERT"  # named, so kept
    twins = make_twins(str(CONFIGS / "coco_srcl.py"), [], (0.4,))
    assert [each.objective for each in twins] == ["info_nce", "similarity_regulated"]
    twin = twins[0].config
    assert (twin.model.image, twin.model.image_size, twin.data.image_size) == ("vit_demo", 32, 36)
    assert (twin.model.text, twin.model.fusion) == ("bert_demo", "fusion_demo")
    assert twin.model.dtype == "float32"
    assert (twin.optimizer.learning_rate, twin.optimizer.image_learning_rate) == (1e-3, 0)
    assert (twin.train.num_steps, twin.optimizer.warmup_steps) == (300, 30)
    big, flat = load(str(CONFIGS / "coco_srcl.py")), twin.to_dict()
    for name, limit in LIMITS.items():
        room, field = name.split(".")
        assert flat[room][field] == min(big[room][field], limit)


def test_what_the_user_names_stays():
    words = tiny_words(Path("here"), train__num_steps=700, eval__tasks="('knn',)")
    (twin, *_) = make_twins(DEMO, words, (0.0,))
    config = twin.config
    assert (config.train.num_steps, config.model.image) == (700, "amdim_tiny")
    assert config.eval.tasks == ("knn",)
    assert config.workdir == "here/ranking_noise0"


@pytest.mark.parametrize(
    ("name", "image"),
    [("coco", "amdim_demo"), ("coco_srcl", "vit_demo"), ("mimic_cxr_lmi", "resnet256_tiny")],
)
def test_twins_of_shipped_configs_trace(name, image):
    twin = make_twins(str(CONFIGS / f"{name}.py"), [], (0.5,))[0]
    assert twin.config.model.image == image
    trace(twin.config)


def test_every_encoder_has_a_twin():
    for kind, _ in IMAGE_VARIANTS.values():
        assert IMAGE_TWINS[kind][0] in IMAGE_VARIANTS
    for kind, _ in TEXT_VARIANTS.values():
        assert TEXT_TWINS[kind] in TEXT_VARIANTS


def test_an_encoder_that_the_user_names_stays():
    (twin, *_) = make_twins(DEMO, ["--config.model.image=vit_b16"], (0.0,))
    assert twin.config.model.image == "vit_b16"


def test_estimators_of_lmi():
    twins = make_twins(str(CONFIGS / "mimic_cxr_lmi.py"), [], (0.0,))
    assert [each.config.objective.estimator for each in twins] == ["info_nce", "dv", "jsd"]
    assert {*COMPARED["lmi"][1]} == {each.objective for each in twins}
    assert (twins[0].config.model.image_size, twins[0].config.model.text) == (64, "bert_tiny")
    smile = ["--config.objective.estimator=smile"]
    with pytest.raises(ConfigError, match=r"config.objective.estimator is what robustness varies"):
        make_twins(str(CONFIGS / "mimic_cxr_lmi.py"), smile, (0.0,))


@pytest.mark.parametrize(
    ("path", "words", "levels", "message"),
    [
        (".", [], (0.0,), "robustness trains small twins of a config file, got the folder '.'; na"),
        ("none.py", [], (0.0,), "no config file at 'none.py'"),
        (DEMO, [], (0.0, 1.0), "--levels is '0,1', wanted increasing shares of at least 0 and be"),
        (DEMO, [], (-0.1,), "--levels is '-0.1', wanted"),
        (DEMO, [], (float("nan"),), "--levels is 'nan', wanted"),
        (DEMO, [], (0.2, 0.2), "--levels is '0.2,0.2', wanted increasing"),
        (DEMO, [], (), "--levels is '', wanted"),
        (DEMO, ["--config.objective.name=amdim"], (0.0,), "is of objective 'amdim' at text weig"),
        (DEMO, ["--config.objective.text_weight=0.0"], (0.0,), "'tvdim' at text weight 0, which"),
        (str(CONFIGS / "vqa.py"), [], (0.0,), "is of objective 'vqa' at text weight 1, which co"),
        (DEMO, ["--config.data.noise_rate=0.3"], (0.0,), "config.data.noise_rate is what robust"),
        (DEMO, ["--config.objective.pair_loss=ranking"], (0.0,), "leave '--config.objective.pair"),
    ],
)
def test_what_has_none(path, words, levels, message):
    with pytest.raises(ConfigError) as error:
        make_twins(path, words, levels)
    assert message in str(error.value)
