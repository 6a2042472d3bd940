"""Memory and CPU seconds of retrieval: ranks tile by tile, and from the matrix of all scores.

Command: python benchmarks/retrieval.py --size full --json benchmarks/results/retrieval.json

The full size is that of COCO's 5,000 test images with their 25,010 captions, features of 512.
Memory is that of the compiled programs on the device: arguments, results and temporary memory, the
largest of a form. Both forms take features of unit length and give the same recalls, which is
checked. Seconds are user and system time of all threads, of the second call of each.
"""

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))  # finds benchmarks.loss_costs from anywhere

from benchmarks.loss_costs.arguments import parse
from benchmarks.loss_costs.report import Row, device_name, print_rows, write_json
from tvdim_jax.evals import retrieval
from tvdim_jax.evals.knn import unit_rows
from tvdim_jax.evals.score_tiles import BLOCK, lowest_tie

EXAMPLE = "example: python benchmarks/retrieval.py"
KS = (1, 5, 10)
Recalls = dict[str, float]


class Size(NamedTuple):
    """Images, captions and width of the features."""

    num_images: int
    num_texts: int
    width: int


class Pairs(NamedTuple):
    """Unit features of images `[N, D]` and captions `[M, D]`, and the image of each caption."""

    images: np.ndarray
    texts: np.ndarray
    text_image_row: np.ndarray


SIZES = {"small": Size(1_500, 4_000, 32), "full": Size(5_000, 25_010, 512)}


def main(arguments: list[str] | None = None) -> None:
    """Measures both forms, prints a table and writes the JSON."""
    size, file = parse(__doc__, EXAMPLE, SIZES, arguments)
    pairs = draw(size)
    tiled = measure(lambda: retrieval.recall_at_k(*pairs, KS))
    dense = measure(lambda: dense_recall(pairs))
    if tiled[1] != dense[1]:
        raise ValueError(f"retrieval: got {tiled[1]} and {dense[1]}, wanted one set of recalls")
    rows: list[Row] = [
        {"form": "tiles", **size._asdict(), "device_bytes": tile_bytes(size)},
        {"form": "dense", **size._asdict(), "device_bytes": dense_bytes(size)},
    ]
    for row, (seconds, _) in zip(rows, (tiled, dense), strict=True):
        row["cpu_seconds"] = seconds
    parts = {"retrieval": rows, "recall of both": [dict(tiled[1])]}
    for title, part in parts.items():
        print_rows(title, part)
    if file:
        write_json(file, parts, [], device_name())


def draw(size: Size) -> Pairs:
    """Captions so near their image that some are found and some are not, at any width."""
    rng = np.random.default_rng(0)
    noise = 0.35 * np.sqrt(size.width)
    images = rng.normal(size=(size.num_images, size.width))
    rows = np.sort(np.arange(size.num_texts) % size.num_images)
    texts = images[rows] + noise * rng.normal(size=(size.num_texts, size.width))
    return Pairs(unit_rows(images), unit_rows(texts), rows)


def measure(run: Callable[[], Recalls]) -> tuple[float, Recalls]:
    """CPU seconds of the second call, and the recalls."""
    run()
    start = time.process_time()
    recalls = run()
    return time.process_time() - start, recalls


def dense_recall(pairs: Pairs) -> Recalls:
    """As `evals.retrieval.recall_at_k`, from all scores at once."""
    before_image, before_text = _dense(*map(jnp.asarray, pairs))
    hits = {f"image_to_text_R@{k}": float(np.mean(np.asarray(before_image) < k)) for k in KS}
    return hits | {f"text_to_image_R@{k}": float(np.mean(np.asarray(before_text) < k)) for k in KS}


@jax.jit
def _dense(images: jax.Array, texts: jax.Array, rows: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Candidates before the partner, of each image `[N]` and of each caption `[M]`."""
    scores = jnp.matmul(images, texts.T, precision=jax.lax.Precision.HIGHEST)
    own = jnp.take_along_axis(scores, rows[None, :], axis=0)[0]
    best_own = jax.ops.segment_max(own, rows, num_segments=len(images))
    other = jnp.arange(len(images))[:, None] != rows[None, :]
    before_image = other & (scores >= lowest_tie(best_own)[:, None])
    before_text = other & (scores >= lowest_tie(own)[None, :])
    return before_image.sum(axis=1), before_text.sum(axis=0)


def dense_bytes(size: Size) -> int:
    """Device memory of `_dense`."""
    return program_bytes(_dense, *_features(size), _ints(size.num_texts))


def tile_bytes(size: Size) -> int:
    """Device memory of the larger of the two programs that see a tile."""
    rows, columns = min(BLOCK, size.num_images), min(BLOCK, size.num_texts)
    tile = size._replace(num_images=rows, num_texts=columns)
    scores, own_image, own_text = (
        jax.ShapeDtypeStruct(shape, jnp.float32) for shape in ((rows, columns), (rows,), (columns,))
    )
    products = program_bytes(retrieval._products, *_features(tile))
    counting = program_bytes(
        retrieval._count_tile, scores, _ints(rows), _ints(columns), own_image, own_text
    )
    return max(products, counting)


def program_bytes(program: Any, *shapes: jax.ShapeDtypeStruct) -> int:
    """Arguments, results and temporary memory of a jitted function, compiled and not run."""
    analysis = program.lower(*shapes).compile().memory_analysis()
    parts = ("argument_size_in_bytes", "output_size_in_bytes", "temp_size_in_bytes")
    return sum(int(getattr(analysis, part)) for part in parts)


def _features(size: Size) -> tuple[jax.ShapeDtypeStruct, jax.ShapeDtypeStruct]:
    images = jax.ShapeDtypeStruct((size.num_images, size.width), jnp.float32)
    return images, jax.ShapeDtypeStruct((size.num_texts, size.width), jnp.float32)


def _ints(count: int) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct((count,), jnp.int32)


if __name__ == "__main__":
    main()
