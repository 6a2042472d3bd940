"""What an update of SRCL at its published size costs, from the programs that XLA is given.

    python benchmarks/srcl_cost.py

Prints the forward operations of one image with its text, part by part, as `cost_analysis` of the
lowered program counts them (a multiplication with an addition is 2), and what follows for an
update. Nothing is computed, so it needs no accelerator. docs/srcl.md holds the table.
"""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from tvdim_jax.models.text import BertEncoder, BertFusion, WordPredictor
from tvdim_jax.models.variants import make_image_encoder

LAYERS, WIDTH, VOCABULARY = 6, 768, 30_522  # of either half of BERT-base
PIXELS, PLACES, PIECES = 256, 257, 30  # of an image, of what the fusion reads of it, of a text
BATCH, IMAGES, EPOCHS = 512, 4_000_000, 30  # the paper's pre-training


def forward_gflop() -> dict[str, float]:
    """Part of the model -> 10^9 operations of its forward pass on one image, text or pair."""
    ids = jnp.zeros((1, PIECES), jnp.int32)
    tokens, valid = jnp.zeros((1, PIECES, WIDTH)), jnp.ones((1, PIECES), bool)
    image, seen = jnp.zeros((1, PLACES, WIDTH)), jnp.ones((1, PLACES), bool)
    # The layers of a BERT are a loop, whose body is counted once: one layer, times their number.
    text = BertEncoder(VOCABULARY, depth=1, pooler=False)
    fusion = BertFusion(depth=1)
    vit = make_image_encoder("vit_b16", image_size=PIXELS)
    return {
        "image encoder": _gflop(vit, jnp.zeros((1, PIXELS, PIXELS, 3)), train=False),
        "text encoder": LAYERS * _gflop(text, ids, valid, train=False),
        "fusion": LAYERS * _gflop(fusion, tokens, valid, image, seen, train=False),
        "word predictor": _gflop(WordPredictor(), tokens, jnp.zeros((VOCABULARY, WIDTH))),
    }


def update_gflop(parts: dict[str, float]) -> dict[str, float]:
    """10^9 operations of one image with its text in an update; backward counts twice forward."""
    encoders = parts["image encoder"] + parts["text encoder"]
    words = parts["text encoder"] + parts["fusion"] + parts["word predictor"]
    student = 3 * (encoders + 3 * parts["fusion"] + words)
    return {"student": student, "teacher": encoders, "both": student + encoders}


def _gflop(module: Any, *inputs: jax.Array, **options: bool) -> float:
    init = partial(module.init, **options)
    params = jax.eval_shape(init, jax.random.key(0), *inputs)
    forward = jax.jit(lambda params: jax.tree.leaves(module.apply(params, *inputs, **options)))
    cost: Any = forward.lower(params).cost_analysis()
    return float(cost["flops"]) / 1e9


def main() -> None:
    """Prints both tables and the total of the paper's pre-training."""
    parts = forward_gflop()
    for name, value in (parts | update_gflop(parts)).items():
        print(f"| {name} | {value:.1f} |")
    visits = IMAGES * EPOCHS
    total = visits * update_gflop(parts)["both"] * 1e9
    print(f"{visits / BATCH:,.0f} updates, {total:.1e} operations")


if __name__ == "__main__":
    main()
