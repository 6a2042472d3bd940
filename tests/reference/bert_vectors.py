"""Numbers of Hugging Face's PyTorch models (tests/data/bert.npz), for tests only.

Made with transformers 5.23.0, torch 2.13.0 on a CPU, eager attention, evaluation mode, float32.
Weights are draws N(0, 0.3), those of the layer norms' weights N(1, 0.3).

- `bert/`: BertForPreTraining (12 wide, 3 layers, 3 heads, MLP 20, 23 words, 10 positions) as
  `save_pretrained` names its tensors, with its config.json; four texts of 7 tokens with padding at
  the end, inside, and one of padding only; the embeddings and states after each layer, the pooler,
  the word logits, and the gradients of `sum(pooled * weight_pooled) + sum(logits * weight_logits)
  / 10` by their names.
- `fusion/`: two layers of BlipTextModel, which attends to features as ALBEF's BERT does (text 12
  wide, features 7 wide, masks on both, one row of features masked altogether); states after each
  layer, and the gradients of `sum(states of the last layer * weight)`. transformers 5.23 loses the
  mask of the features on the way to the attention; a hook handed it on.
  Texts or features of padding only have the weight 0: Hugging Face adds -3e38 to their scores,
  which leaves them a gradient, we put -3e38 in their place, which leaves none.
- `lmi/`: group T of the LMI release's vectors: pytorch-transformers 1.0 in the released code.
"""

from pathlib import Path

import jax
import numpy as np
from safetensors.numpy import save_file

from tvdim_jax.models.text.bert import BertEncoder, BertFusion, WordPredictor

VECTORS = dict(np.load(Path(__file__).parents[1] / "data" / "bert.npz", allow_pickle=False))
SIZES = {"vocab_size": 23, "width": 12, "num_heads": 3, "mlp_width": 20, "max_length": 10}


def tensors(prefix):
    """{their name: array} of the vectors below a prefix such as "bert/param/"."""
    return {
        name.removeprefix(prefix): array
        for name, array in VECTORS.items()
        if name.startswith(prefix)
    }


def encoder(**changes):
    return BertEncoder(**{**SIZES, "depth": 3} | changes)


def fusion(**changes):
    return BertFusion(**{"depth": 2, "num_heads": 3, "mlp_width": 20} | changes)


def fresh_encoder(module):
    """Initial parameters of an encoder; zeros, since loading replaces them or a test sees it."""
    ids = np.zeros((1, 2), np.int32)
    return _zeros(module, ids, ids == 0, train=False)


def fresh_fusion(module, width=12, other_width=7):
    valid = np.ones((1, 2), bool)
    texts, images = np.zeros((1, 2, width)), np.zeros((1, 2, other_width))
    return _zeros(module, texts, valid, images, valid, train=False)


def fresh_predictor():
    return _zeros(WordPredictor(), np.zeros((1, 12)), np.zeros((23, 12)))


def write_folder(folder, arrays, config=True):
    """A folder as `save_pretrained` makes it."""
    folder.mkdir(exist_ok=True)
    if config:
        (folder / "config.json").write_text(str(VECTORS["bert/config"]))
    save_file(arrays, folder / "model.safetensors")
    return folder


def _zeros(module, *args, **options):
    shapes = jax.eval_shape(lambda key: module.init(key, *args, **options), jax.random.key(0))
    return jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), shapes["params"])
