"""The schema: every way to get a config wrong is one line that says what, got and wanted."""

import json
from pathlib import Path

import pytest

from tvdim_jax import config
from tvdim_jax.config import ConfigError

CONFIGS = Path(__file__).parents[1] / "configs"
GOOD = """
from tvdim_jax.config import default
def get_config():
    return default()
"""


def write(tmp_path, text, name="mine.py"):
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return str(path)


def changed(name, value):
    """The default config with one field set."""
    c = config.default()
    c.update_from_flattened_dict({name: value})
    return c


def flat(c, prefix=""):
    out = {}
    for name, value in c.items():
        if hasattr(value, "items"):
            out.update(flat(value, f"{prefix}{name}."))
        else:
            out[f"{prefix}{name}"] = value
    return out


def test_defaults_pass_their_own_check_and_file_name_gives_the_workdir(tmp_path):
    c = config.load(write(tmp_path, GOOD))
    assert c.workdir == "runs/mine"
    assert c.is_locked
    assert flat(c) == {**flat(config.default()), "workdir": "runs/mine"}


def test_given_workdir_is_kept(tmp_path):
    c = config.load(write(tmp_path, GOOD), ["--config.workdir=/tmp/there"])
    assert c.workdir == "/tmp/there"


@pytest.mark.parametrize(
    ("word", "name", "value"),
    [
        ("--config.train.num_steps=12", "train.num_steps", 12),
        ("--config.optimizer.learning_rate=1", "optimizer.learning_rate", 1.0),
        ("--config.objective.image_loss=false", "objective.image_loss", False),
        ("--config.objective.negatives=5", "objective.negatives", "5"),
        ("--config.objective.scales=1,5", "objective.scales", (1, 5)),
        ("--config.objective.scales=[7]", "objective.scales", (7,)),
        ("--config.eval.tasks=knn", "eval.tasks", ("knn",)),
        ("--config.eval.tasks=()", "eval.tasks", ()),
        ("--config.optimizer.step_boundaries=(3,9)", "optimizer.step_boundaries", (3, 9)),
        ("--config.data.path=/a=b", "data.path", "/a=b"),
    ],
)
def test_override_reaches_its_field_alone(tmp_path, word, name, value):
    got = flat(config.load(write(tmp_path, GOOD), [word]))
    assert got[name] == value
    assert type(got[name]) is type(value)
    assert got == {**flat(config.default()), "workdir": "runs/mine", name: value}


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["--config.train.num_stepz=3"], r"unknown .*'train.num_stepz'.* is 'train.num_steps'"),
        (["--config.num_steps=3"], r"unknown .*'num_steps'.* is 'train.num_steps'"),
        (["--config.train=3"], r"unknown .*'train'.* nearest is 'train\."),
        (["--config.train.num_steps"], r"'--config.train.num_steps', wanted --config.FIELD=VALUE"),
        (["--config.train.num_steps", "3"], r"wanted --config.FIELD=VALUE"),
        (["--train.num_steps=3"], r"'--train.num_steps=3', wanted --config.FIELD=VALUE"),
        (["--config.train.num_steps=x"], r"config.train.num_steps=x: .*int\(\).*'x'"),
        (["--config.train.num_steps=1.5"], r"config.train.num_steps=1.5: .*int\(\).*'1.5'"),
        (["--config.train.num_steps="], r"config.train.num_steps=: .*int\(\).*''"),
        (["--config.objective.image_loss=maybe"], r"image_loss=maybe: .*boolean"),
        (["--config.eval.tasks=knn,retrieval"], r"'knn,retrieval'.*'linear_probe', 'knn'"),
        (["--config.objective.scales=a b"], r"objective.scales"),
    ],
)
def test_bad_override_is_one_line(tmp_path, words, text):
    with pytest.raises(ConfigError, match=text) as caught:
        config.load(write(tmp_path, GOOD), words)
    assert "\n" not in str(caught.value)


def test_missing_config_file_says_where_the_shipped_ones_are(tmp_path):
    with pytest.raises(ConfigError, match=r"no config file at '.*none.py'.*configs/"):
        config.load(str(tmp_path / "none.py"))
    with pytest.raises(ConfigError, match=r"no config file"):
        config.load(str(tmp_path))


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("c.train.num_stepz = 3", r"unknown .*'train.num_stepz'.* is 'train.num_steps'"),
        ("c.trian.num_steps = 3", r"mine.py failed: AttributeError.*trian"),
        ("c.train.num_steps = 'x'", r"mine.py failed: TypeError.*num_steps"),
        ("c.train.num_steps = None", r"config.train.num_steps is None, wanted int"),
        ("c.objective.text_weight = -1.0", r"text_weight is -1.0, wanted at least 0"),
        ("c = 3", r"mine.py failed: .*get_config\(\) that returns"),
        ("c.train.num_steps = 1 +", r"mine.py failed: SyntaxError"),
    ],
)
def test_bad_config_file_is_one_line(tmp_path, line, text):
    body = (
        f"from tvdim_jax.config import default\ndef get_config():\n    c = default()\n    {line}\n"
    )
    with pytest.raises(ConfigError, match=text) as caught:
        config.load(write(tmp_path, body + "    return c\n"))
    assert "\n" not in str(caught.value)


def test_file_without_get_config_is_an_error_even_after_a_good_one(tmp_path):
    # ml_collections' own loader reuses one module, and would run the get_config() of the first.
    config.load(write(tmp_path, GOOD))
    with pytest.raises(ConfigError, match=r"empty.py failed: .*get_config"):
        config.load(write(tmp_path, "x = 1\n", "empty.py"))


CHOICES = {
    "data.source": config.SOURCES,
    "objective.name": config.OBJECTIVES,
    "objective.pair_loss": config.PAIR_LOSSES,
    "objective.region_pool": ("max", "mean", "log_mean_exp"),
    "objective.negatives": ("all", "hardest", "1", "12"),
    "optimizer.schedule": config.SCHEDULES,
    "model.image_size": (32, 64, 128),
    "model.dtype": ("float32", "bfloat16"),
    "augment": ("cifar", "stl", "imagenet"),
    "eval.tasks": [(task,) for task in config.TASKS],
    "objective.scales": [(scale,) for scale in config.SCALES],
}


@pytest.mark.parametrize("name", CHOICES)
def test_every_choice_passes(name):
    for choice in CHOICES[name]:
        config.check(changed(name, choice))


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("data.source", "imagenet", r"'imagenet', wanted one of \['scenes', 'captions', 'coco'\]"),
        ("objective.name", "clap", r"'clap', wanted one of \['tvdim', 'amdim'\]"),
        ("objective.pair_loss", "mse", r"'mse', wanted one of \['ranking', 'info_nce'\]"),
        ("objective.region_pool", "min", r"'min', wanted one of \['max', 'mean', 'log_mean_exp'\]"),
        ("optimizer.schedule", "exp", r"'exp', wanted one of \['constant', 'cosine', 'step'\]"),
        ("model.image_size", 48, r"48, wanted one of \[32, 64, 128\]"),
        ("model.dtype", "float16", r"'float16', wanted one of \['float32', 'bfloat16'\]"),
        ("augment", "mnist", r"'mnist', wanted one of \['cifar', 'stl', 'imagenet'\]"),
        ("eval.tasks", ("knn", "nope"), r"\('knn', 'nope'\), wanted some of"),
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
    "objective.text_weight": (-0.01, 0.0, None),
    "optimizer.b1": (-0.01, 0.0, 0.999),
    "optimizer.b2": (-0.01, 0.0, 0.999),
    "optimizer.weight_decay": (-1e-9, 0.0, None),
    "optimizer.warmup_steps": (-1, 0, None),
    "optimizer.clip_norm": (-0.01, 0.0, None),
    "train.batch_size": (1, 2, None),
    "eval.every": (-1, 0, None),
}
NUMBERS = [
    name
    for name, value in flat(config.default()).items()
    if type(value) in (int, float) and name != "model.image_size"
]


@pytest.mark.parametrize("name", NUMBERS)
def test_every_number_has_its_range(name):
    whole = type(flat(config.default())[name]) is int
    small, low, high = LOW_AND_HIGH.get(name, (0 if whole else 0.0, 1 if whole else 1e-12, None))
    for good in [low, high or 7 * low + 1]:
        config.check(changed(name, good))
    too_high = [] if high is None else [high + 1]
    for bad in [small, *too_high, *([] if whole else [float("nan"), float("inf")])]:
        with pytest.raises(ConfigError, match=rf"config\.{name} is .*, wanted "):
            config.check(changed(name, bad))


def test_training_on_nothing_is_an_error():
    c = changed("objective.image_loss", False)
    config.check(c)
    for name, value in (("objective.text_weight", 0.0), ("objective.name", "amdim")):
        c = changed("objective.image_loss", False)
        c.update_from_flattened_dict({name: value})
        with pytest.raises(ConfigError, match="nothing is left to train on"):
            config.check(c)


@pytest.mark.parametrize(
    ("name", "weight", "uses"), [("tvdim", 1.0, True), ("tvdim", 0.0, False), ("amdim", 1.0, False)]
)
def test_uses_text(name, weight, uses):
    c = changed("objective.name", name)
    c.objective.text_weight = weight
    assert config.uses_text(c) is uses


def test_json_round_trip_keeps_every_field_and_type(tmp_path):
    words = [
        "--config.objective.scales=5,7",
        "--config.optimizer.step_boundaries=(10,20)",
        "--config.optimizer.learning_rate=0.5",
        "--config.tokenizer.lower_case=false",
        "--config.seed=4294967295",
    ]
    before = config.load(write(tmp_path, GOOD), words)
    after = config.from_json(json.dumps(before.to_dict()))
    assert flat(after) == flat(before)
    assert [type(v) for v in flat(after).values()] == [type(v) for v in flat(before).values()]
    assert after.objective.scales == (5, 7)
    assert after.is_locked


def test_json_of_an_older_version_gets_defaults():
    fields = config.default().to_dict()
    del fields["eval"]
    assert flat(config.from_json(json.dumps(fields))) == flat(config.default())


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("{", "not a JSON object"),
        ("[1]", "not a JSON object"),
        ("null", "not a JSON object"),
        ('{"train": {"num_stepz": 3}}', "unknown .*'train.num_stepz'.* is 'train.num_steps'"),
        ('{"train": 3}', "unknown config field 'train'"),
        ('{"a.b": 3}', "unknown config field 'a.b'"),
        ('{"train": {"num_steps": 1.5}}', "train.num_steps is 1.5, wanted int"),
        ('{"train": {"num_steps": null}}', "train.num_steps is None, wanted int"),
        ('{"train": {"num_steps": true}}', "train.num_steps is True, wanted int"),
        ('{"workdir": 5}', "workdir is 5, wanted str"),
        ('{"eval": {"tasks": "knn"}}', "eval.tasks is 'knn', wanted tuple"),
        ('{"eval": {"tasks": ["nope"]}}', "eval.tasks is .'nope',., wanted some of"),
        ('{"optimizer": {"learning_rate": NaN}}', "learning_rate is nan, wanted above 0"),
    ],
)
def test_bad_json_is_one_line(text, wanted):
    with pytest.raises(ConfigError, match=wanted) as caught:
        config.from_json(text)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.py")), ids=lambda path: path.stem)
def test_shipped_configs_load(path):
    assert config.load(str(path)).workdir == f"runs/{path.stem}"
