import json
import re

import pytest

from tests.reference.bert_vectors import SIZES, VECTORS
from tvdim_jax.data.tokenizer import tokenizer_from_vocab
from tvdim_jax.weights.bert_folder import bert_options, bert_vocabulary

CONFIG = json.loads(str(VECTORS["bert/config"]))
UNCASED = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "heart", "##s", "caf\u00e9"]


def write_config(folder, **changes):
    (folder / "config.json").write_text(json.dumps(CONFIG | changes))


def write_vocabulary(folder, tokens=UNCASED, **config):
    (folder / "vocab.txt").write_text("\n".join(tokens) + "\n", encoding="utf-8")
    if config:
        (folder / "tokenizer_config.json").write_text(json.dumps(config))


def test_sizes_of_the_encoder(tmp_path):
    write_config(tmp_path)
    assert bert_options(tmp_path) == {**SIZES, "depth": 3}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model_type": "roberta"}, "says model_type = 'roberta'; wanted 'bert'"),
        ({"hidden_act": "gelu_new"}, "says hidden_act = 'gelu_new'; wanted 'gelu'"),
        ({"layer_norm_eps": 1e-5}, "says layer_norm_eps = 1e-05; wanted 1e-12"),
        ({"position_embedding_type": "relative_key"}, "wanted 'absolute'"),
        ({"hidden_size": None}, "says hidden_size = None; wanted a positive whole number"),
        ({"num_hidden_layers": True}, "says num_hidden_layers = True; wanted a positive"),
    ],
)
def test_configs_of_another_model(tmp_path, changes, message):
    write_config(tmp_path, **changes)
    with pytest.raises(ValueError, match=re.escape(message)):
        bert_options(tmp_path)


def test_old_configs_do_not_say_what_goes_without_saying(tmp_path):
    left_out = ("model_type", "hidden_act", "layer_norm_eps", "dtype", "transformers_version")
    old = {name: value for name, value in CONFIG.items() if name not in left_out}
    (tmp_path / "config.json").write_text(json.dumps(old))
    assert bert_options(tmp_path)["depth"] == 3


@pytest.mark.parametrize("content", [None, "", "[1]", "3", "[" * 100_000])
def test_configs_that_are_none(tmp_path, content):
    if content is not None:
        (tmp_path / "config.json").write_text(content)
    with pytest.raises(ValueError, match=r"config\.json'.*wanted a JSON object"):
        bert_options(tmp_path)


@pytest.mark.parametrize("said", [True, False])
def test_lower_case_as_the_folder_or_the_user_says(tmp_path, said):
    write_vocabulary(tmp_path, do_lower_case=said)
    vocabulary = bert_vocabulary(tmp_path)
    assert vocabulary.lower_case is said
    assert vocabulary.remark == f"do_lower_case is {said} in tokenizer_config.json"
    assert bert_vocabulary(tmp_path, lower_case=not said).lower_case is not said


@pytest.mark.parametrize("config", [{}, {"model_max_length": 512}])
def test_lower_case_from_the_vocabulary_where_nothing_is_said(tmp_path, config):
    write_vocabulary(tmp_path, **config)
    assert bert_vocabulary(tmp_path).lower_case
    write_vocabulary(tmp_path, [*UNCASED, "Heart", "##S"], **config)
    vocabulary = bert_vocabulary(tmp_path)
    assert not vocabulary.lower_case
    assert "2 tokens of vocab.txt have capitals" in vocabulary.remark


def test_a_tokenizer_reads_it(tmp_path):
    write_vocabulary(tmp_path, do_lower_case=True)
    path, lower_case, _ = bert_vocabulary(tmp_path)
    tokenizer = tokenizer_from_vocab(path, lower_case=lower_case, add_sep=True, max_length=6)
    assert tokenizer.encode(["Hearts"])[0].tolist() == [[2, 5, 6, 3, 0, 0]]


def test_vocabularies_that_are_none(tmp_path):
    with pytest.raises(ValueError, match=r"vocab\.txt'.*one token a line; download"):
        bert_vocabulary(tmp_path)
    (tmp_path / "vocab.txt").write_bytes(b"\xff\n")
    with pytest.raises(ValueError, match=r"can't decode.*one token a line"):
        bert_vocabulary(tmp_path)
    write_vocabulary(tmp_path)
    (tmp_path / "tokenizer_config.json").write_text("[")
    with pytest.raises(ValueError, match=r"tokenizer_config\.json'.*wanted a JSON object"):
        bert_vocabulary(tmp_path)
