"""Images and texts that find each other."""

import numpy as np
from ml_collections import ConfigDict

from tvdim_jax.config import uses_sentences, uses_text
from tvdim_jax.data.eval_batches import caption_table
from tvdim_jax.evals import retrieval
from tvdim_jax.evals.features import extract
from tvdim_jax.experiment.data import Splits
from tvdim_jax.experiment.encoders import GLOBAL, text_batches
from tvdim_jax.experiment.tasks.base import Context, Outcome, Result, Task, rows_read


def score_retrieval(
    image_x: np.ndarray, image_rows: np.ndarray, text_x: np.ndarray, text_rows: np.ndarray
) -> Result:
    """Recall at 1, 5, 10 both ways, with the set's size and chance beside it."""
    position = {row: index for index, row in enumerate(image_rows)}
    text_image = np.array([position[row] for row in text_rows])
    return {
        "metrics": retrieval.recall_at_k(image_x, text_x, text_image),
        "chance": retrieval.chance_recall_at_k(len(image_rows), text_image),
        "num_images": len(image_rows),
        "num_texts": len(text_rows),
    }


def missing_texts(config: ConfigDict, splits: Splits) -> str | None:
    """See `Task`: a text encoder, and texts in the test part."""
    if not uses_text(config):
        return "the run has no text encoder"
    rows = rows_read(splits.test, config.eval.num_test_examples)
    if not any(caption_table(splits.test, [row])[0] for row in rows):
        return f"the test part of {splits.test.name} has no texts"
    return None


def _missing(config: ConfigDict, splits: Splits) -> str | None:
    if uses_sentences(config):
        return "the images and texts of lmi meet in a critic and not by cosine"
    return missing_texts(config, splits)


def _retrieval(context: Context) -> Outcome:
    encoders, tokenizer, test = context.encoders, context.tokenizer, context.test
    if encoders is None or encoders.text is None or tokenizer is None:
        raise ValueError("retrieval needs a text encoder; leave the task out")
    texts, text_rows = caption_table(context.splits.test, test.rows.tolist())
    batches = text_batches(tokenizer, texts, encoders.batch_size)
    text_x, _ = extract(encoders.text, batches)
    return Outcome(score_retrieval(test.features[GLOBAL], test.rows, text_x, text_rows), {})


RETRIEVAL = Task(
    does="images by their texts and texts by their images: recall at 1, 5, 10",
    run=_retrieval,
    missing=_missing,
    train=(),
    test=(GLOBAL,),
    takes_pixels=False,
)
