"""Numbers of PyTorch for the answer decoder and the pair fusion (tests/data/downstream.npz).

Made with transformers 5.23.0, torch 2.13.0 on a CPU, evaluation mode, float32. Weights are draws
N(0, 0.3), those of the layer norms' weights N(1, 0.3).

- `decoder/`: BertLMHeadModel with is_decoder and add_cross_attention (12 wide, 2 layers, 3 heads,
  MLP 20, 23 words, 10 positions), eager attention, its tensors by their names; four answers with
  padding, states of four questions with masks; the logits, the negative log-likelihood of each
  answer, and the gradients of `sum(weight * nll) / 2` by the weights and by the question states.
- `pair/`: two blocks of two `torch.nn.TransformerDecoderLayer` each (12 wide, 3 heads, MLP 20,
  GELU, post-LN) without a causal mask, the second of a block with the keys' and values' weights of
  the first, and a head; parameters and gradients in the layout of `PairFusion` and `PairHead`,
  those of common weights summed; the gradients are of `sum(states * weight) / 10` plus the
  cross-entropy.
"""

from pathlib import Path

import jax
import numpy as np
from flax.traverse_util import unflatten_dict

VECTORS = dict(np.load(Path(__file__).parents[1] / "data" / "downstream.npz", allow_pickle=False))


def tensors(prefix):
    """{name: array} of the vectors below a prefix such as "decoder/param/"."""
    return {n.removeprefix(prefix): a for n, a in VECTORS.items() if n.startswith(prefix)}


def tree(prefix):
    """The same as a tree of dicts."""
    return unflatten_dict(tensors(prefix), sep="/")


def zeros(module, *args, **options):
    """Initial parameters of a module, all 0; loading replaces them, or a test sees it."""
    return jax.tree.map(np.zeros_like, drawn(module, *args, **options))


def drawn(module, *args, **options):
    """Parameters of a module, drawn N(0, 0.3): compiling its own draws would take seconds."""
    shapes = jax.eval_shape(lambda key: module.init(key, *args, **options), jax.random.key(0))
    rng = np.random.default_rng(0)
    return jax.tree.map(
        lambda leaf: rng.normal(0, 0.3, leaf.shape).astype(leaf.dtype), shapes["params"]
    )


def assert_trees_close(got, wanted, tolerance=1e-5):
    """Every array within `tolerance` of the largest number of its twin, 1e-5 at least."""
    got, wanted = jax.tree.leaves_with_path(got), jax.tree.leaves(wanted)
    for (path, ours), theirs in zip(got, wanted, strict=True):
        scale = max(np.abs(theirs).max(), 1)
        np.testing.assert_allclose(
            ours, theirs, rtol=0, atol=tolerance * scale, err_msg=jax.tree_util.keystr(path)
        )
