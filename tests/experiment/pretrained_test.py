"""Parameters of another run: what is taken, what is made of them, and what does not fit."""

import io

import jax
import numpy as np
import pytest
from rich.console import Console

from tests.reference.tiny_run import CLIP, SRCL, tiny_config
from tvdim_jax.config import ConfigError
from tvdim_jax.experiment.inference import open_trained
from tvdim_jax.experiment.model import make_model
from tvdim_jax.experiment.pretrained import check_pretrained, fitted, with_pretrained
from tvdim_jax.models import resize_positions

VQA = {"objective__name": "vqa", "data__source": "vqa"}
NLVR = {"objective__name": "nlvr", "data__source": "nlvr"}


def params_of(seed=0, **changes):
    """A config and its parameters, drawn without compiling."""
    config = tiny_config(**{**SRCL, "model__start_from": "runs/a", **changes})
    shapes, _ = jax.eval_shape(make_model(config, 60).init, jax.random.key(0))
    rng = np.random.default_rng(seed)
    draw = lambda leaf: rng.normal(size=leaf.shape).astype(np.float32)  # noqa: E731
    return config, jax.tree.map(draw, shapes)


_, THEIRS = params_of()


def assert_equal(got, wanted):
    jax.tree.map(np.testing.assert_array_equal, got, wanted)


def test_every_array_of_srcl_is_taken():
    config, fresh = params_of(seed=1)
    found, report = fitted(config, THEIRS, fresh)
    assert_equal(found, THEIRS)
    assert (report.new, report.unused, report.remarks) == ({}, {}, ())
    assert sum(report.loaded.values()) == sum(leaf.size for leaf in jax.tree.leaves(THEIRS))


def test_the_decoder_is_made_of_text_fusion_and_word_predictor():
    config, fresh = params_of(seed=1, **VQA)
    found, report = fitted(config, THEIRS, fresh)
    assert_equal(found["decoder"]["layers"], THEIRS["fusion"]["layers"])
    assert_equal(found["decoder"]["tokens"], THEIRS["text"]["tokens"])
    assert_equal(found["decoder"]["word_predictor"], THEIRS["word_predictor"])
    assert report.new == {}
    assert {name.split("/")[0] for name in report.unused} == {
        "image_projection", "text_projection", "matching_head", "temperature", "word_predictor",
    }  # fmt: skip


def test_the_fusion_of_two_images_is_the_fusion_twice_and_its_head_is_new():
    config, fresh = params_of(seed=1, **NLVR)
    found, report = fitted(config, THEIRS, fresh)
    layers, theirs = found["pair_fusion"]["layers"], THEIRS["fusion"]["layers"]
    for side in ("first", "second"):
        assert_equal(layers[side]["dense_1"], theirs["dense_1"])
    assert_equal(layers["key"], theirs["cross_attention"]["key"])
    assert_equal(found["pair_head"], fresh["pair_head"])
    assert {name.split("/")[0] for name in report.new} == {"pair_head"}
    # After text assignment the fusion of two images is there, and goes before that of one.
    _, assigned = params_of(seed=2, objective__name="nlvr_assignment")
    found, _ = fitted(config, assigned | {"fusion": THEIRS["fusion"]}, fresh)
    assert_equal(found["pair_fusion"], assigned["pair_fusion"])


def test_positions_follow_the_sizes_of_images_and_texts():
    config, fresh = params_of(seed=1, model__image_size=40, tokenizer__max_length=16)
    found, report = fitted(config, THEIRS, fresh)
    wanted = resize_positions(THEIRS["image"]["positions"], 5)
    np.testing.assert_array_equal(found["image"]["positions"], wanted)
    np.testing.assert_array_equal(found["text"]["positions"], THEIRS["text"]["positions"][:16])
    assert report.remarks == ("image/positions: 17 made 26", "text/positions: 24 made 16")


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"model__embedding_width": 4}, "model.embedding_width"),
        ({"tokenizer__max_length": 30}, "tokenizer.max_length"),
        ({"model__text": "bert_tiny"}, "model.text"),
        ({"model__image": "clip_vit_tiny"}, "model.image"),
    ],
)
def test_what_does_not_fit_names_the_field(changes, field):
    config, fresh = params_of(seed=1, **changes)
    with pytest.raises(ConfigError) as error:
        fitted(config, THEIRS, fresh)
    assert str(error.value).startswith("config.model.start_from: the run in 'runs/a' has ")
    assert str(error.value).endswith(f"; set config.{field} as that run has it")


def test_a_decoder_of_another_size_and_another_vocabulary_are_refused():
    config, fresh = params_of(seed=1, **VQA)
    narrow = {**THEIRS, "fusion": jax.tree.map(lambda leaf: leaf[..., :16], THEIRS["fusion"])}
    with pytest.raises(ConfigError, match=r"set config.model.fusion as that run has it"):
        fitted(config, narrow, fresh)
    few = {**THEIRS, "text": {**THEIRS["text"], "tokens": {"embedding": np.zeros((50, 32))}}}
    with pytest.raises(ConfigError, match=r"set config.tokenizer.vocab_path as that run has it"):
        fitted(config, few, fresh)


def test_a_run_of_clip_starts_srcl_but_for_its_fusion(clip_run):
    run = open_trained(clip_run)
    config = tiny_config(**SRCL, model__start_from=clip_run)
    check_pretrained(config)
    fresh, _ = make_model(config, run.tokenizer.vocab_size).init(jax.random.key(0))
    console = Console(file=io.StringIO())
    found = with_pretrained(config, fresh, console)
    assert_equal(found["image"], run.params["image"])
    assert_equal(found["fusion"], fresh["fusion"])
    said = console.file.getvalue()
    assert f"{clip_run}, step 3: loaded" in said
    assert "new, as initialised (not in that run): fusion/" in said


def test_runs_that_cannot_be_started_from(tmp_path, clip_run, tiny_run):
    def check(folder, changes=SRCL):
        check_pretrained(tiny_config(**changes, model__start_from=folder))

    with pytest.raises(ConfigError, match=r"config.model.start_from: no run in '/nowhere'"):
        check("/nowhere")
    with pytest.raises(ConfigError, match="is one of tvdim, wanted one of clip or srcl"):
        check(tiny_run[0])
    with pytest.raises(ConfigError, match="or this one has batch statistics, wanted two ViTs"):
        check(clip_run, CLIP | {"model__image": "amdim_tiny"})
    with pytest.raises(ConfigError, match=r"set config.model.embedding_width as that run has it"):
        check(clip_run, SRCL | {"model__embedding_width": 4})
    config = tiny_config(**SRCL, model__start_from=tmp_path)
    with pytest.raises(ConfigError, match=r"config.model.start_from: no run in"):
        with_pretrained(config, {}, Console(quiet=True))
    check_pretrained(tiny_config())
