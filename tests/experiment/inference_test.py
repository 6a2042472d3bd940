"""A loaded model: the features are those of the evaluation, and misuse is told in one line."""

import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import tvdim_jax
from tests.reference.tiny_run import tiny_config
from tvdim_jax.config import ConfigError
from tvdim_jax.data.errors import DataError
from tvdim_jax.data.eval_batches import make_eval_batches
from tvdim_jax.evals.features import extract
from tvdim_jax.experiment import inference
from tvdim_jax.experiment.encoders import make_encoders
from tvdim_jax.experiment.inference import TrainedModel, TrainedRun, load, open_trained
from tvdim_jax.experiment.model import make_model
from tvdim_jax.experiment.run_folder import open_folder
from tvdim_jax.train.checkpoint import CheckpointError

SIZES = [(32, 32), (40, 70), (90, 33), (64, 64), (20, 50)]
TEXTS = ["a red circle", "two striped squares on a wall", "a"]


@pytest.fixture(scope="module")
def model(tiny_run):
    return tvdim_jax.load(str(tiny_run[0]))


@pytest.fixture(scope="module")
def images():
    rng = np.random.default_rng(0)
    return [rng.integers(0, 256, (*size, 3), dtype=np.uint8) for size in SIZES]


@pytest.fixture(scope="module")
def encoders(tiny_run):
    run = open_trained(tiny_run[0])
    return make_encoders(run.config, run.model, run.params, run.variables)


class Folder:
    """The images as a source of an evaluation."""

    def __init__(self, images):
        self._images = images

    def __len__(self):
        return len(self._images)

    def read_image(self, row, min_side=0):
        return self._images[row]


def test_images_of_any_size_as_the_evaluation_sees_them(model, images, encoders):
    assert encoders.batch_size == 16
    batches = make_eval_batches(Folder(images), image_size=32, batch_size=16)
    wanted, rows = extract(lambda batch: encoders.image(batch)["global"], batches)
    features = model.encode_image(images)
    assert rows.tolist() == [0, 1, 2, 3, 4]
    assert features.shape == (5, 32)
    assert features.dtype == np.float32
    np.testing.assert_allclose(features, wanted, rtol=1e-5, atol=1e-5)
    assert np.std(features, axis=0).max() > 0.01


def test_more_images_than_a_batch_and_one_array(model, images):
    whole = model.encode_image(images)
    many = model.encode_image(list(images) * 9)  # more than the 16 of a batch
    np.testing.assert_allclose(many, np.tile(whole, (9, 1)), rtol=1e-5, atol=1e-6)
    stacked = np.stack([images[0], images[0][::-1]])
    assert model.encode_image(stacked).shape == (2, 32)


@pytest.mark.parametrize(
    ("num_inputs", "rows"), [(1, 8), (8, 8), (9, 16), (100, 128), (129, 200), (900, 200)]
)
def test_rows_of_a_batch(num_inputs, rows):
    """Multiples of the 8 devices."""
    assert inference._batch_rows(num_inputs, 200) == rows


def test_texts_as_the_evaluation_sees_them(model, encoders, tiny_run):
    tokenizer = open_trained(tiny_run[0]).tokenizer
    ids, valid = tokenizer.encode(TEXTS + [""] * 13)
    wanted = np.asarray(encoders.text({"token_ids": ids, "token_valid": valid}))[:3]
    features = model.encode_text(TEXTS)
    assert features.shape == (3, 32)
    assert features.dtype == np.float32
    np.testing.assert_allclose(features, wanted, rtol=1e-5, atol=1e-5)
    many = model.encode_text(tuple(TEXTS * 7))  # more than the 16 of a batch
    np.testing.assert_allclose(many, np.tile(wanted, (7, 1)), rtol=1e-5, atol=1e-5)


def test_local_scores_are_the_cosines_of_the_7_by_7_map(model, images, tiny_run):
    run = open_trained(tiny_run[0])
    scores = model.local_scores(images[0], TEXTS[0])
    assert scores.shape == (7, 7)
    assert scores.dtype == np.float32
    assert np.abs(scores).max() <= 1 + 1e-6
    assert np.std(scores) > 0
    # The preset "cifar" by hand: at 32 pixels nothing is resized.
    mean, std = np.array([125.3, 123.0, 113.9]), np.array([63.0, 62.1, 66.7])
    view = jnp.asarray((images[0][None] - mean) / std, jnp.float32)
    encode = jax.jit(lambda *trees: run.model.image(*trees, view, train=False, key=None)[0])
    regions = np.asarray(encode(run.params, run.variables).local_features[7])[0]
    text = model.encode_text([TEXTS[0]])[0]
    for row, column in np.ndindex(7, 7):
        region = regions[row, column].astype(np.float64)
        cosine = region @ text / np.sqrt((region @ region) * (text @ text))
        assert scores[row, column] == pytest.approx(cosine, abs=1e-5)


def test_words_are_what_the_scores_lose_without_them(model, images):
    text = "a  red circle, on a wall"
    read, words, spans, scores, of_text = model.word_scores(images[0], text)
    assert read == "a red circle, on a wall"
    assert words == ("a", "red", "circle", "on", "a", "wall")
    assert spans[1:3] == ((2, 5), (6, 12))
    assert (scores.shape, scores.dtype) == ((6, 7, 7), np.float32)
    wanted = model.local_scores(images[0], text)
    np.testing.assert_allclose(of_text, wanted, atol=1e-6)
    wanted = wanted - model.local_scores(images[0], "a red , on a wall")
    np.testing.assert_allclose(scores[2], wanted, atol=1e-5)
    assert np.abs(scores[2]).max() > 1e-3
    with pytest.raises(
        ValueError, match=r"word_scores: got '!', wanted a text of one word or more"
    ):
        model.word_scores(images[0], " ! ")


def test_regions_are_scored_as_amdim_does(model, images, tiny_run):
    run = open_trained(tiny_run[0])
    scores = model.region_scores(images[0], images[1])
    assert (scores.shape, scores.dtype) == ((5, 5, 5, 5), np.float32)
    stored = np.concatenate([model._stored([image]) for image in images[:2]])
    mean, std = np.array([125.3, 123.0, 113.9]), np.array([63.0, 62.1, 66.7])
    view = jnp.asarray((stored - mean) / std, jnp.float32)
    encode = jax.jit(lambda *trees: run.model.image(*trees, view, train=False, key=None)[0])
    first, second = np.asarray(encode(run.params, run.variables).local_features[5], np.float64)
    for place in ((0, 0, 0, 0), (1, 3, 4, 2), (4, 2, 0, 3)):
        product = first[place[:2]] @ second[place[2:]] / np.sqrt(first.shape[-1])
        assert scores[place] == pytest.approx(20 * np.tanh(product / 20), rel=1e-4)


@pytest.mark.parametrize(
    ("image", "got"),
    [
        (np.zeros((32, 32, 3), np.float32), "float32 (32, 32, 3)"),
        (np.zeros((32, 32), np.uint8), "uint8 (32, 32)"),
        (np.zeros((32, 32, 4), np.uint8), "uint8 (32, 32, 4)"),
        (np.zeros((1, 32, 32, 3), np.uint8), "uint8 (1, 32, 32, 3)"),
        (np.zeros((0, 32, 3), np.uint8), "uint8 (0, 32, 3)"),
    ],
)
def test_what_is_no_image(model, images, image, got):
    for call in (
        lambda: model.encode_image([images[0], image]),
        lambda: model.local_scores(image, "a"),
        lambda: model.word_scores(image, "a"),
        lambda: model.region_scores(images[0], image),
    ):
        with pytest.raises(ValueError) as error:  # noqa: PT011 (the text is compared)
            call()
        assert str(error.value) == (
            f"an image must be uint8 [H, W, 3] in RGB, got {got}; convert it with "
            "np.asarray(PIL.Image.open(path).convert('RGB')), and write [image] for one image"
        )


def test_one_image_instead_of_a_list(model, images):
    with pytest.raises(ValueError, match=r"got uint8 \(32, 3\).*write \[image\] for one image"):
        model.encode_image(images[0])


def test_no_images_and_no_texts(model):
    with pytest.raises(ValueError, match="encode_image got no images, wanted at least one"):
        model.encode_image([])
    with pytest.raises(ValueError, match="encode_text got no texts, wanted at least one"):
        model.encode_text([])


def test_one_string_instead_of_a_list(model):
    with pytest.raises(TypeError) as error:
        model.encode_text("a red circle")
    assert str(error.value) == "encode_text takes a list of texts, got one string; write [text]"


def test_a_run_without_text_encodes_images_only(images):
    config = tiny_config(objective__text_weight=0.0)
    model = make_model(config, 0)
    params, variables = model.init(jax.random.key(0))
    trained = TrainedModel(TrainedRun(config, None, model, params, variables, 0))
    with pytest.raises(ValueError) as error:  # noqa: PT011
        trained.encode_text(["a"])
    assert str(error.value) == (
        "this run has no text encoder (objective.text_weight is 0 or the objective is amdim); "
        "train one with objective.name='tvdim'"
    )
    for scores in (trained.local_scores, trained.word_scores):
        with pytest.raises(ValueError, match="this run has no text encoder"):
            scores(images[0], "a")
    assert trained.encode_image(images[:2]).shape == (2, 32)


@pytest.mark.parametrize(
    "changes",
    [
        {"objective__name": "lmi", "objective__local_weight": 0.0},
        {"objective__scales": "(5,)"},
    ],
)
def test_places_that_no_objective_scored_are_refused(changes, images, tiny_run):
    """Their critic or map is that of the initialisation."""
    run = open_trained(tiny_run[0])
    params = {**run.params, "critics": {"local": None, "global": None}}
    config = tiny_config(**changes)
    trained = TrainedModel(run._replace(config=config, params=params))
    for scores in (trained.local_scores, trained.word_scores):
        with pytest.raises(ValueError) as error:  # noqa: PT011
            scores(images[0], "a red circle")
        assert str(error.value) == (
            "this run trained no local scores: objective.local_weight is 0, or objective.scales "
            "lacks 7; train one with both"
        )


def test_a_moved_run_loads(model, images, tiny_run, tmp_path):
    shutil.copytree(tiny_run[0], tmp_path / "elsewhere")
    run = open_trained(tmp_path / "elsewhere")
    assert run.step == 6
    assert run.config.workdir == str(tmp_path / "elsewhere")
    moved = load(tmp_path / "elsewhere")
    np.testing.assert_array_equal(moved.encode_image(images[:2]), model.encode_image(images[:2]))


def test_no_run_no_checkpoint_no_tokenizer(tiny_run, tmp_path):
    with pytest.raises(ConfigError, match=r"no run in '.*none' \(no config.json\)"):
        load(tmp_path / "none")
    workdir = tmp_path / "run"
    open_folder(tiny_config(workdir))
    with pytest.raises(DataError, match=r"tokenizer: got FileNotFoundError .*tokenizer.json"):
        load(workdir)
    shutil.copy(tiny_run[0] / "tokenizer.json", workdir)
    with pytest.raises(CheckpointError, match=r"no checkpoint in .*; train first"):
        load(workdir)


def test_a_checkpoint_of_another_model(tiny_run, tmp_path):
    workdir = tmp_path / "run"
    shutil.copytree(tiny_run[0], workdir)
    text = (workdir / "config.json").read_text()
    (workdir / "config.json").write_text(text.replace('"amdim_tiny"', '"amdim_demo"'))
    with pytest.raises(CheckpointError, match=r"is of another model: params/image/.* this run has"):
        load(workdir)
