"""Retrieval in two stages: the nearest by cosine, put in order by SRCL's matching head."""

import numpy as np
from ml_collections import ConfigDict

from tvdim_jax.config import uses_fusion
from tvdim_jax.data.eval_batches import caption_table
from tvdim_jax.evals.features import extract_all
from tvdim_jax.evals.knn import unit_rows
from tvdim_jax.evals.rerank import reranked_ranks, reranked_recalls
from tvdim_jax.experiment.data import Splits
from tvdim_jax.experiment.encoders import EMBEDDING, IMAGE_TOKENS, text_batches
from tvdim_jax.experiment.tasks.base import Context, Outcome, Task
from tvdim_jax.experiment.tasks.retrieval import KS, hits_of, missing_texts

_RERANKED = "reranked_"


def _missing(config: ConfigDict, splits: Splits) -> str | None:
    if not uses_fusion(config):
        return f"a run of {config.objective.name} has no matching head"
    return missing_texts(config, splits)


def _reranking(context: Context) -> Outcome:
    """Holds the tokens of all test images and texts in memory, float32."""
    encoders, tokenizer, test = context.encoders, context.tokenizer, context.test
    if encoders is None or encoders.text is None or encoders.fused is None or tokenizer is None:
        raise ValueError("re-ranking needs a matching head; leave the task out")
    of_text, fused = encoders.text, encoders.fused
    texts, text_rows = caption_table(context.splits.test, test.rows.tolist())
    found, _ = extract_all(
        lambda batch: {EMBEDDING: of_text(batch), "tokens": fused.tokens(batch)},
        text_batches(tokenizer, texts, encoders.batch_size),
    )
    _, valid = tokenizer.encode(texts)
    image_x, text_x = unit_rows(test.features[EMBEDDING]), unit_rows(found[EMBEDDING])
    images, tokens = test.features[IMAGE_TOKENS], found["tokens"]
    plain, reranked = reranked_ranks(
        lambda i, j: image_x[i] @ text_x[j].T,
        lambda i, j: np.asarray(fused.match(tokens[j], valid[j], images[i])),
        len(images),
        np.searchsorted(test.rows, text_rows),
        num_listed=context.config.eval.num_reranked,
    )
    metrics = reranked_recalls(plain, reranked, KS)
    details: dict[str, dict[str, float]] = {"by cosine": {}, "re-ranked": {}}
    for name, value in metrics.items():
        stage = "re-ranked" if name.startswith(_RERANKED) else "by cosine"
        details[stage][name.removeprefix(_RERANKED)] = value
    result = {
        "metrics": metrics,
        "details": details,
        "num_images": len(images),
        "num_texts": len(texts),
        "num_reranked": context.config.eval.num_reranked,
        "note": (
            f"{len(images):,} images and {len(texts):,} texts, the "
            f"{context.config.eval.num_reranked} best by cosine ordered anew; ties and what is not "
            "listed count as misses"
        ),
    }
    hits = hits_of(reranked, test.rows, text_rows)
    return Outcome(result, {f"{way}, re-ranked": each for way, each in hits.items()})


RERANKING = Task(
    does="retrieval, its nearest put in order by the matching head of srcl",
    run=_reranking,
    missing=_missing,
    train=(),
    test=(EMBEDDING, IMAGE_TOKENS),
    takes_pixels=False,
    beside_untrained=False,  # it would read as many pairs, and hold the tokens of images twice
)
