"""Outside weights into our trees: local folders of safetensors files, no torch and no network."""

from tvdim_jax.weights.bert import fill_bert, load_bert
from tvdim_jax.weights.bert_folder import Vocabulary, bert_options, bert_vocabulary
from tvdim_jax.weights.report import LoadReport
from tvdim_jax.weights.tensors import open_tensors
from tvdim_jax.weights.vit import fill_vit, load_vit

__all__ = [
    "LoadReport",
    "Vocabulary",
    "bert_options",
    "bert_vocabulary",
    "fill_bert",
    "fill_vit",
    "load_bert",
    "load_vit",
    "open_tensors",
]
