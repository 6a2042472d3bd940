import re

import chex
import jax
import ml_dtypes
import numpy as np
import pytest
from flax.traverse_util import flatten_dict

from tests.reference.bert_vectors import (
    VECTORS,
    encoder,
    fresh_encoder,
    fresh_fusion,
    fresh_predictor,
    fusion,
    tensors,
    write_folder,
)
from tvdim_jax.models.text.bert import BertEncoder
from tvdim_jax.weights.bert import fill_bert, load_bert
from tvdim_jax.weights.bert_folder import bert_options

THEIRS = tensors("bert/param/")  # as save_pretrained wrote them, with the prefix "bert."
LAYER = "bert.encoder.layer.1."


def changed(*left_out, **arrays):
    """Their tensors without those whose names contain a text, and with others added."""
    kept = {
        name: array for name, array in THEIRS.items() if not any(each in name for each in left_out)
    }
    return kept | arrays


def test_a_folder_gives_the_module_and_its_parameters(tmp_path):
    folder = write_folder(tmp_path / "model", THEIRS)
    module = BertEncoder(**bert_options(folder))
    fresh = fresh_encoder(module)
    params, report = load_bert(folder, fresh)
    chex.assert_trees_all_equal_shapes_and_dtypes(params, fresh)
    ids = VECTORS["bert/input_ids"].astype(np.int32)
    valid = VECTORS["bert/attention_mask"] > 0
    features = jax.jit(lambda params: module.apply({"params": params}, ids, valid, train=False))(
        params
    )
    np.testing.assert_allclose(features.global_features, VECTORS["bert/pooled"], atol=1e-5)
    assert set(report.loaded) == set(flatten_dict(fresh, sep="/"))
    assert sum(report.loaded.values()) == sum(leaf.size for leaf in jax.tree.leaves(fresh))
    assert report.new == {}
    assert report.remarks == ()
    assert {name.split(".")[1] for name in report.unused} == {"predictions", "seq_relationship"}


def test_each_array_goes_to_its_place():
    module = encoder(depth=2, pooler=False)
    params, report = fill_bert(THEIRS, fresh_encoder(module), first_layer=1)
    for i in range(2):
        for ours, theirs in [("query", "self.query"), ("out", "output.dense")]:
            kernel = params["layers"]["attention"][ours]["kernel"][i]
            wanted = THEIRS[f"bert.encoder.layer.{i + 1}.attention.{theirs}.weight"]
            np.testing.assert_array_equal(kernel, wanted.T)
    np.testing.assert_array_equal(
        params["layers"]["mlp_norm"]["scale"][0], THEIRS[f"{LAYER}output.LayerNorm.weight"]
    )
    reasons = {name: why for name, why in report.unused.items() if "layer.0." in name}
    assert set(reasons.values()) == {"not among layers [1, 3)"}
    assert len(reasons) == 16
    assert report.unused["bert.pooler.dense.bias"] == "not asked for"
    assert report.unused["cls.seq_relationship.bias"] == "no part of ours"
    assert len(str(report).split("\n")) == 4


def test_old_spellings_and_types_give_the_same():
    fresh = fresh_encoder(encoder())
    wanted, _ = fill_bert(THEIRS, fresh)
    old = {
        name.removeprefix("bert.")
        .replace("LayerNorm.weight", "LayerNorm.gamma")
        .replace("LayerNorm.bias", "LayerNorm.beta"): array
        for name, array in THEIRS.items()
    }
    got, report = fill_bert(old | {"embeddings.position_ids": np.arange(10)}, fresh)
    chex.assert_trees_all_equal(got, wanted)
    assert report.unused["embeddings.position_ids"] == "no part of ours"
    half = {name: array.astype(ml_dtypes.bfloat16) for name, array in THEIRS.items()}
    got, report = fill_bert(half, fresh)
    chex.assert_trees_all_equal_shapes_and_dtypes(got, wanted)
    chex.assert_trees_all_close(got, wanted, rtol=2**-8)
    assert report.remarks == ("stored as bfloat16, converted to float32",)


def test_what_no_bert_has_keeps_its_initial_values():
    fresh = jax.tree.map(lambda leaf: leaf + 7, fresh_fusion(fusion()))
    params, report = fill_bert(THEIRS, fresh, first_layer=1)
    crossing = {
        *(f"cross_attention/{name}" for name in ("query", "key", "value", "out")),
        "cross_attention_norm",
    }
    assert {name.removeprefix("layers/").rpartition("/")[0] for name in report.new} == crossing
    for name in ("cross_attention", "cross_attention_norm"):
        chex.assert_trees_all_equal(params["layers"][name], fresh["layers"][name])
    np.testing.assert_array_equal(
        params["layers"]["dense_1"]["kernel"][0], THEIRS[f"{LAYER}intermediate.dense.weight"].T
    )
    headless = fill_bert(changed("pooler", "cls."), fresh_encoder(encoder()))[1]
    assert headless.new == dict.fromkeys(["pooler/kernel", "pooler/bias"], "not in the file")
    assert headless.unused == {}


def test_the_word_predictor_comes_with_or_without_a_second_copy():
    fresh = {"word_predictor": fresh_predictor()}
    params, report = fill_bert(THEIRS, fresh)
    bias = THEIRS["cls.predictions.bias"]
    np.testing.assert_array_equal(params["word_predictor"]["bias"], bias)
    assert report.unused["bert.pooler.dense.bias"] == "not asked for"
    decoder = "cls.predictions.decoder"
    words = THEIRS["bert.embeddings.word_embeddings.weight"]
    copies = {f"{decoder}.weight": words, f"{decoder}.bias": bias}
    for left_out in ("no such name", "cls.predictions.bias"):
        again, report = fill_bert(changed(left_out, **copies), fresh)
        chex.assert_trees_all_equal(again, params)
        assert report.unused[f"{decoder}.weight"] == "a second copy of tied weights"
        assert (f"{decoder}.bias" in report.unused) == (left_out == "no such name")
    untied = changed(**{f"{decoder}.weight": words + 1})
    with pytest.raises(ValueError, match=r"differs from bert\.embeddings\.word_embeddings"):
        fill_bert(untied, fresh)
    fill_bert(untied, fresh_encoder(encoder()))


def test_positions_are_cut_but_never_added():
    short, report = fill_bert(THEIRS, fresh_encoder(encoder(max_length=4)))
    wanted = THEIRS["bert.embeddings.position_embeddings.weight"][:4]
    np.testing.assert_array_equal(short["positions"], wanted)
    assert report.remarks == ("positions: the first 4 of 10",)
    with pytest.raises(ValueError, match="holds 10 positions; wanted at least max_length = 11"):
        fill_bert(THEIRS, fresh_encoder(encoder(max_length=11)))


@pytest.mark.parametrize(
    ("changes", "first_layer", "message"),
    [
        ({"vocab_size": 24}, 0, "word_embeddings.weight has the shape (23, 12) in our layout"),
        ({"mlp_width": 21}, 0, "wanted (21,) for layers/dense_1/bias. Build the module with"),
        ({"depth": 4}, 0, "not 'encoder.layer.3.attention."),
        ({}, 1, "wanted a BERT with at least the layers asked for"),
    ],
)
def test_sizes_that_do_not_fit(changes, first_layer, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        fill_bert(THEIRS, fresh_encoder(encoder(**changes)), first_layer=first_layer)


@pytest.mark.parametrize(
    ("theirs", "message"),
    [
        (changed("layer.1.output.dense.bias"), "not 'encoder.layer.1.output.dense.bias' for our"),
        (changed("token_type"), "not 'embeddings.token_type_embeddings.weight' for our types"),
        (changed("pooler.dense.bias"), "not 'pooler.dense.bias' for our pooler/bias"),
        (
            changed(**{"bert.pooler.dense.bias": np.zeros(12, np.int8)}),
            "is stored as int8; wanted one of float16, bfloat16, float32",
        ),
        ({"h.0.attn.c_attn.weight": np.zeros(3)}, "the file holds 1 tensors but not"),
        (
            changed(**{"pooler.dense.bias": np.zeros(12)}),
            "both 'bert.pooler.dense.bias' and 'pooler.dense.bias'",
        ),
    ],
)
def test_files_that_are_no_whole_bert(theirs, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        fill_bert(theirs, fresh_encoder(encoder()))


def test_parameters_of_another_module():
    with pytest.raises(ValueError, match="params hold 'dense_3/kernel', which no BERT has"):
        fill_bert(THEIRS, {"dense_3": {"kernel": np.zeros((2, 2))}})
