"""What an update of SRCL at its published size costs, from the programs that XLA is given.

    python benchmarks/srcl_cost.py

Prints the forward operations of one image with its text, part by part, as `cost_analysis` of the
lowered program counts them (a multiplication with an addition is 2), and what follows for an
update; then the temporary memory of the regulated contrast of a large batch with a queue and a
teacher, value and gradient, and that of the same loss on matrices of scores. Nothing is computed,
so it needs no accelerator. docs/srcl.md holds the numbers.
"""

import sys
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

sys.path.insert(0, str(Path(__file__).parents[1]))  # finds benchmarks.loss_costs from anywhere

from benchmarks.loss_costs.memory import temp_of
from tvdim_jax.losses import similarity_regulated_loss
from tvdim_jax.models.text import BertEncoder, BertFusion, WordPredictor
from tvdim_jax.models.variants import make_image_encoder
from tvdim_jax.objectives.contrast import Regulation, contrast
from tvdim_jax.objectives.momentum import empty_queue

LAYERS, WIDTH, VOCABULARY = 6, 768, 30_522  # of either half of BERT-base
PIXELS, PLACES, PIECES = 256, 257, 30  # of an image, of what the fusion reads of it, of a text
BATCH, IMAGES, EPOCHS = 512, 4_000_000, 30  # the paper's pre-training
LARGE_BATCH, QUEUE, EMBEDDING = 8_192, 65_536, 256


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


def contrast_bytes(batch: int, queue: int) -> dict[str, int]:
    """Form -> temporary bytes of the contrast with a queue and a teacher, compiled.

    Args:
      batch: B.
      queue: Q, candidates for either side.

    Returns:
      "streamed", as SRCL has it, with its metrics, and "dense", the loss alone on `[B, B + Q]`.
    """
    of_queue = jax.eval_shape(lambda: empty_queue(queue, EMBEDDING, EMBEDDING))
    sides = jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct((batch, *leaf.shape[1:]), leaf.dtype),
        {name: of_queue[name] for name in ("image", "text")},
    )
    vectors = {name: side["embedding"] for name, side in sides.items()}
    forms = {
        "streamed": jax.value_and_grad(streamed, has_aux=True),
        "dense": jax.value_and_grad(dense),
    }
    return {
        name: temp_of(jax.jit(form).lower(vectors, sides, of_queue).compile())
        for name, form in forms.items()
    }


def streamed(vectors: Any, sides: Any, queue: Any) -> Any:
    """The contrast as SRCL has it, with metrics; `vectors` replace the embeddings of `sides`."""
    sides = {name: side | {"embedding": vectors[name]} for name, side in sides.items()}
    regulation = Regulation("similarity_regulated", "softmax", 5.0, False, 1.0, 100)
    return contrast(regulation, sides, queue, temperature=jnp.float32(0.07), step=0, mesh=None)


def dense(vectors: Any, sides: Any, queue: Any) -> jax.Array:
    """The loss of `streamed` on matrices of scores."""
    row = jnp.arange(len(vectors["image"]))
    losses = []
    for x, y in (("image", "text"), ("text", "image")):
        past = queue[y]
        words: dict[str, Any] = {}
        words["y_positive_id"] = jnp.concatenate([row, jnp.full(len(past["where"]), -1)])
        for word in ("where", "group_id"):
            words[f"x_{word}"] = sides[x][word]
            words[f"y_{word}"] = jnp.concatenate([sides[y][word], past[word]])
        candidates = jnp.concatenate([vectors[y], past["embedding"]])
        taught = jnp.concatenate([sides[y]["teacher"], past["teacher"]])
        losses.append(
            similarity_regulated_loss(
                vectors[x] @ candidates.T,
                teacher_similarity=sides[x]["teacher"] @ taught.T,
                temperature=0.07,
                teacher_share=1.0,
                norm="softmax",
                delta=5.0,
                symmetric=False,
                x_positive_id=row,
                **words,
            )
        )
    return (losses[0] + losses[1]) / 2


def _gflop(module: Any, *inputs: jax.Array, **options: bool) -> float:
    init = partial(module.init, **options)
    params = jax.eval_shape(init, jax.random.key(0), *inputs)
    forward = jax.jit(lambda params: jax.tree.leaves(module.apply(params, *inputs, **options)))
    cost: Any = forward.lower(params).cost_analysis()
    return float(cost["flops"]) / 1e9


def main() -> None:
    """Prints the operations, the total of the paper's pre-training, and the memory."""
    parts = forward_gflop()
    for name, value in (parts | update_gflop(parts)).items():
        print(f"| {name} | {value:.1f} |")
    visits = IMAGES * EPOCHS
    total = visits * update_gflop(parts)["both"] * 1e9
    print(f"{visits / BATCH:,.0f} updates, {total:.1e} operations")
    for name, value in contrast_bytes(LARGE_BATCH, QUEUE).items():
        print(f"contrast of {LARGE_BATCH:,} with {QUEUE:,} more, {name}: {value / 2**20:,.0f} MiB")


if __name__ == "__main__":
    main()
