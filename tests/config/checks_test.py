"""Every wrong value is one line that names the field, what was got and what is wanted."""

import pytest

from tvdim_jax import config
from tvdim_jax.config import ConfigError, flat_fields, schema


def changed(name, value):
    """The default config with one field set."""
    c = config.default()
    c.update_from_flattened_dict({name: value})
    return c


def with_its_partner(c, name):
    """Questions and image pairs have an objective and a source each."""
    partner = {"objective.name": "data.source", "data.source": "objective.name"}.get(name)
    value = flat_fields(c)[name]
    if partner and value in ("vqa", "nlvr"):
        c.update_from_flattened_dict({partner: value})
    return c


CHOICES = {
    "data.source": schema.SOURCES,
    "objective.name": schema.OBJECTIVES,
    "objective.pair_loss": schema.PAIR_LOSSES,
    "objective.region_pool": ("max", "mean", "log_mean_exp"),
    "objective.negatives": ("all", "hardest", "1", "12"),
    "objective.norm": ("ratio", "softmax", "power"),
    "objective.teacher_schedule": ("linear", "constant"),
    "optimizer.name": ("adam", "adamw"),
    "optimizer.schedule": schema.SCHEDULES,
    "model.critic": ("mlp", "bilinear", "dot"),
    "objective.estimator": ("dv", "info_nce", "jsd", "smile", "released_infonce"),
    "objective.negative_regions": ("own", "positive", "all"),
    "objective.sentence_mean": ("flat", "report"),
    "model.dtype": ("float32", "bfloat16"),
    "augment": [name for name in schema.AUGMENTS if name != "xray"],
    "eval.finetune_protocol": schema.FINE_TUNINGS,
    "eval.templates": [(), ("a {}",), ("{}", "an x-ray of {}")],
    "eval.tasks": [(task,) for task in schema.TASKS],
    "objective.scales": [(scale,) for scale in schema.SCALES],
}


@pytest.mark.parametrize("name", CHOICES)
def test_every_choice_passes(name):
    for choice in CHOICES[name]:
        config.check(with_its_partner(changed(name, choice), name))


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        (
            "data.source",
            "imagenet",
            r"'imagenet', wanted one of \['scenes', 'captions', 'coco', 'mimic_cxr', 'kar",
        ),
        ("objective.name", "clap", r"'clap', wanted one of \['tvdim', 'amdim', 'lmi', 'clip', 's"),
        ("optimizer.name", "sgd", r"'sgd', wanted one of \['adam', 'adamw'\]"),
        ("objective.pair_loss", "mse", r"'mse', wanted one of \['ranking', 'info_nce', "),
        ("objective.norm", "sum", r"'sum', wanted one of \['ratio', 'softmax', 'power'\]"),
        ("objective.region_pool", "min", r"'min', wanted one of \['max', 'mean', 'log_mean_exp'\]"),
        ("optimizer.schedule", "exp", r"'exp', wanted one of \['constant', 'cosine', 'step'\]"),
        ("model.critic", "cosine", r"'cosine', wanted one of \['mlp', 'bilinear', 'dot'\]"),
        ("model.critic_hidden", (), r"\(\), wanted widths of at least 1"),
        ("data.token_buckets", (32, 16), r"\(32, 16\), wanted increasing lengths"),
        ("objective.estimator", "nce", r"'nce', wanted one of \['dv', 'info_nce'"),
        ("objective.negative_regions", "any", r"'any', wanted one of \['own', 'positive', 'all'\]"),
        ("objective.sentence_mean", "mean", r"'mean', wanted one of \['flat', 'report'\]"),
        ("model.dtype", "float16", r"'float16', wanted one of \['float32', 'bfloat16'\]"),
        ("augment", "mnist", r"'mnist', wanted one of \['cifar', 'stl', 'imagenet', 'captions'"),
        ("eval.tasks", ("knn", "nope"), r"\('knn', 'nope'\), wanted some of"),
        (
            "train.writers",
            ("csv", "mlflow"),
            r"\('csv', 'mlflow'\), wanted some of \('tensorboard',",
        ),
        ("eval.templates", ("a {}", "a {} {}"), r"\('a \{\}', 'a \{\} \{\}'\), wanted texts with"),
        ("objective.scales", (1, 2), r"\(1, 2\), wanted some of \(1, 5, 7\)"),
        ("objective.scales", (), r"\(\), wanted some of \(1, 5, 7\)"),
        ("objective.negatives", "0", r"'0', wanted 'all', 'hardest' or a number"),
        ("objective.negatives", "²", r"'²', wanted 'all', 'hardest' or a number"),
        ("optimizer.step_boundaries", (5, 3), r"\(5, 3\), wanted increasing update numbers"),
        ("optimizer.step_boundaries", (0, 3), r"\(0, 3\), wanted increasing"),
        ("optimizer.step_boundaries", ("a",), r"\('a',\), wanted increasing"),
    ],
)
def test_value_outside_the_choices_names_the_field_and_what_is_wanted(name, value, text):
    with pytest.raises(ConfigError, match=rf"config\.{name} is {text}"):
        config.check(changed(name, value))


# Field -> (largest that is too small, smallest allowed, largest allowed or None).
LOW_AND_HIGH = {
    "seed": (-1, 0, 2**32 - 1),
    "data.noise_seed": (-1, 0, 2**32 - 1),
    "data.validation_fraction": (-0.01, 0.0, 1.0),
    "data.noise_rate": (-0.01, 0.0, 1.0),
    "data.max_bad_fraction": (-0.01, 0.0, 1.0),
    "data.num_threads": (-1, 0, None),
    "tokenizer.num_plain_words": (-1, 0, None),
    "objective.text_weight": (-0.01, 0.0, None),
    "objective.local_weight": (-0.01, 0.0, None),
    "objective.global_weight": (-0.01, 0.0, None),
    "optimizer.b1": (-0.01, 0.0, 0.999),
    "optimizer.b2": (-0.01, 0.0, 0.999),
    "optimizer.weight_decay": (-1e-9, 0.0, None),
    "optimizer.warmup_steps": (-1, 0, None),
    "objective.teacher_share": (-0.01, 0.0, 1.0),
    "objective.teacher_steps": (-1, 0, None),
    "objective.contrast_weight": (-0.01, 0.0, None),
    "objective.matching_weight": (-0.01, 0.0, None),
    "objective.word_weight": (-0.01, 0.0, None),
    "objective.mask_rate": (-0.01, 0.0, 1.0),
    "objective.queue_size": (-1, 0, None),
    "objective.average_decay": (-0.01, 0.0, 0.999),
    "model.dropout": (-0.01, 0.0, 0.999),
    "objective.distillation": (-0.01, 0.0, 1.0),
    "objective.distillation_steps": (-1, 0, None),
    "optimizer.image_learning_rate": (-1e-9, 0.0, None),
    "optimizer.text_learning_rate": (-1e-9, 0.0, None),
    "optimizer.text_weight_decay": (-1e-9, 0.0, None),
    "optimizer.text_warmup_fraction": (-0.01, 0.0, 1.0),
    "optimizer.clip_norm": (-0.01, 0.0, None),
    "train.batch_size": (1, 2, None),
    "eval.every": (-1, 0, None),
    "eval.finetune_epochs": (-1, 0, None),
    "eval.finetune_learning_rate": (-1e-9, 0.0, None),
}
NUMBERS = [
    name for name, value in flat_fields(config.default()).items() if type(value) in (int, float)
]


@pytest.mark.parametrize("name", NUMBERS)
def test_every_number_has_its_range(name):
    whole = type(flat_fields(config.default())[name]) is int
    small, low, high = LOW_AND_HIGH.get(name, (0 if whole else 0.0, 1 if whole else 1e-12, None))
    for good in [low, high or 7 * low + 1]:
        config.check(changed(name, good))
    too_high = [] if high is None else [high + 1]
    for bad in [small, *too_high, *([] if whole else [float("nan"), float("inf")])]:
        with pytest.raises(ConfigError, match=rf"config\.{name} is .*, wanted "):
            config.check(changed(name, bad))


def test_the_augmentation_decides_whether_images_are_grey():
    assert config.reads_grey(changed("augment", "xray"))
    assert not any(config.reads_grey(changed("augment", n)) for n in ("cifar", "stl", "captions"))


def test_training_on_nothing_is_an_error():
    c = changed("objective.image_loss", False)
    config.check(c)
    for name, value in (("objective.text_weight", 0.0), ("objective.name", "amdim")):
        c = changed("objective.image_loss", False)
        c.update_from_flattened_dict({name: value})
        with pytest.raises(ConfigError, match="nothing is left to train on"):
            config.check(c)


@pytest.mark.parametrize(
    ("name", "weight", "uses"),
    [
        ("tvdim", 1.0, True),
        ("tvdim", 0.0, False),
        ("amdim", 1.0, False),
        ("lmi", 0.0, True),
        ("clip", 0.0, True),
        ("srcl", 0.0, True),
    ],
)
def test_uses_text(name, weight, uses):
    c = changed("objective.name", name)
    c.objective.text_weight = weight
    assert config.uses_text(c) is uses
    assert config.uses_sentences(c) is (name == "lmi")
    assert config.uses_embeddings(c) is (name in ("clip", "srcl"))
    assert config.uses_fusion(c) is (name == "srcl")


REGULATED = {"objective.name": "clip", "objective.pair_loss": "similarity_regulated"}


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        (REGULATED | {"objective.teacher_share": 0.5}, "teacher_share is 0.5 without a teacher"),
        (
            REGULATED | {"objective.teacher": "runs/a", "objective.teacher_share": 0.0},
            "teacher is 'runs/a' with teacher_share=0, so nobody asks it",
        ),
        ({"objective.teacher": "runs/a"}, "with objective.name='tvdim' and pair_loss='ranking', w"),
        (
            REGULATED | {"objective.teacher": "runs/a", "objective.pair_loss": "info_nce"},
            "only similarity_regulated of clip and srcl asks a teacher",
        ),
        (REGULATED | {"objective.temperature": 0.6}, r"temperature is 0.6, wanted 0.001 to 0.5, "),
    ],
)
def test_a_teacher_and_a_temperature_that_do_not_fit(changes, text):
    c = config.default()
    c.update_from_flattened_dict(REGULATED | {"objective.teacher": "runs/a"})
    config.check(c)
    c = config.default()
    c.update_from_flattened_dict(changes)
    with pytest.raises(ConfigError, match=text):
        config.check(c)


@pytest.mark.parametrize("name", ["srcl", "nlvr_assignment"])
def test_a_group_that_does_not_divide_the_batch(name):
    c = changed("objective.name", name)
    for group, batch in ((48, 48), (64, 48), (16, 48)):  # a smaller batch is one group
        c.objective.matching_group, c.train.batch_size = group, batch
        config.check(c)
    c.objective.matching_group = 32
    with pytest.raises(ConfigError) as error:
        config.check(c)
    assert str(error.value) == (
        "config.objective.matching_group is 32 with train.batch_size=48, wanted a divisor of it, "
        "as hard negatives are drawn within groups; change one of them"
    )
    c.objective.name = "clip"
    config.check(c)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"objective.name": "vqa"}, "is 'vqa' with data.source='scenes', wanted data.source='vqa'"),
        ({"data.source": "nlvr"}, "'tvdim' with data.source='nlvr', wanted another data.source"),
        (
            {"data.source": "nlvr", "objective.name": "nlvr", "data.noise_rate": 0.1},
            "data.noise_rate is 0.1 with data.source='nlvr', wanted 0.0",
        ),
        (
            {"data.source": "vqa", "objective.name": "vqa", "tokenizer.answer_length": 40},
            "answer_length is 40, wanted at most max_length=32",
        ),
        ({"model.start_from": "runs/a"}, "objective.name='tvdim', wanted '' there: only clip, sr"),
        (
            {"model.start_from": "a", "objective.name": "srcl", "model.text_weights": "BERT"},
            "'a' beside model.text_weights='BERT' and image_weights='', wanted one start",
        ),
    ],
)
def test_what_does_not_go_together_downstream(changes, text):
    c = config.default()
    c.update_from_flattened_dict(changes)
    with pytest.raises(ConfigError) as error:
        config.check(c)
    assert text in str(error.value)
