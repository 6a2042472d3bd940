"""An evaluation: features of both parts, each image read once, then every task on them."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from ml_collections import ConfigDict

from tvdim_jax.data.bad_examples import BadExamples
from tvdim_jax.data.eval_batches import make_eval_batches
from tvdim_jax.data.sources.base import Source
from tvdim_jax.data.tokenizer import Tokenizer
from tvdim_jax.evals import pixels
from tvdim_jax.evals.features import extract_all
from tvdim_jax.experiment.data import Splits
from tvdim_jax.experiment.encoders import GLOBAL, Embed, Encoders
from tvdim_jax.experiment.tasks import TASK_OF, Context, Images, Outcome, Task

PIXELS: Mapping[str, Callable[[np.ndarray], np.ndarray]] = {
    "raw pixels": pixels.raw_pixels,
    "pixels + gradients": pixels.pixels_and_gradients,
}
_NOTHING = Images(np.zeros(0, np.int64), {})


class EvaluationError(RuntimeError):
    """Features or labels that no task can score; its text is one line."""


class Evaluation(NamedTuple):
    """What the tasks found.

    Attributes:
      rows: name of the features -> task -> outcome.
      missing: task -> why it was not scored.
    """

    rows: dict[str, dict[str, Outcome]]
    missing: dict[str, str]


def evaluate(
    encoders: Mapping[str, Encoders],
    splits: Splits,
    tokenizer: Tokenizer | None,
    config: ConfigDict,
    *,
    tasks: Sequence[str],
    ledger: BadExamples | None = None,
    with_pixels: bool = False,
) -> Evaluation:
    """Runs the tasks on the features of some encoders, and of pixels.

    Args:
      encoders: name -> what turns batches into features; all of one batch size.
      splits: the sources.
      tokenizer: of the run; None without text.
      config: of the run; sizes of the splits and of the images.
      tasks: keys of `TASK_OF`.
      ledger: gets the images that could not be read and do not count.
      with_pixels: also scores PIXELS, by the tasks that take them.

    Returns:
      What the tasks found; nothing is read for those that miss something.

    Raises:
      EvaluationError: no readable image, features that are not finite, too few labels.
    """
    found = {task: TASK_OF[task].missing(config, splits) for task in tasks}
    missing = {task: why for task, why in found.items() if why is not None}
    chosen = {task: TASK_OF[task] for task in found if task not in missing}
    if not chosen:
        return Evaluation({name: {} for name in encoders}, missing)
    of_pixels = {task: each for task, each in chosen.items() if each.takes_pixels}
    try:
        train, test = _features(
            {name: each.image for name, each in encoders.items()},
            splits,
            config,
            tasks=list(chosen.values()),
            batch_size=next(iter(encoders.values())).batch_size,
            ledger=ledger,
            with_pixels=with_pixels and bool(of_pixels),
        )
        rows: dict[str, dict[str, Outcome]] = {}
        for name in test:
            own = encoders.get(name)
            context = Context(config, splits, train[name], test[name], own, tokenizer)
            run = chosen if own else of_pixels
            rows[name] = {task: each.run(context) for task, each in run.items()}
    except ValueError as error:
        raise EvaluationError(f"cannot evaluate: {error}") from error
    return Evaluation(rows, missing)


def _features(
    embeds: Mapping[str, Embed],
    splits: Splits,
    config: ConfigDict,
    *,
    tasks: Sequence[Task],
    batch_size: int,
    ledger: BadExamples | None,
    with_pixels: bool,
) -> list[dict[str, Images]]:
    """Training and test part: name of the features -> images."""
    of_pixels = {name: _of_pixels(embed) for name, embed in PIXELS.items()} if with_pixels else {}
    read = partial(_read, config=config, batch_size=batch_size)
    parts = []
    for source, limit, kinds in (
        (splits.train, config.eval.num_train_examples, {k for task in tasks for k in task.train}),
        (splits.test, config.eval.num_test_examples, {k for task in tasks for k in task.test}),
    ):
        if not kinds:
            parts.append(dict.fromkeys([*embeds, *of_pixels], _NOTHING))
        elif config.data.grey:  # pixels are those of the RGB images
            images = read(source, limit, embeds, kinds, ledger=ledger, grey=True)
            parts.append(images | read(source, limit, of_pixels, kinds, ledger=None, grey=False))
        else:
            both = {**embeds, **of_pixels}
            parts.append(read(source, limit, both, kinds, ledger=ledger, grey=False))
    return parts


def _read(
    source: Source,
    limit: int,
    embeds: Mapping[str, Embed],
    kinds: set[str],
    *,
    config: ConfigDict,
    batch_size: int,
    ledger: BadExamples | None,
    grey: bool,
) -> dict[str, Images]:
    """The kinds of features of every embedding, in one pass over the images."""
    if not embeds:
        return {}
    batches = make_eval_batches(
        source,
        image_size=config.data.image_size,
        batch_size=batch_size,
        grey=grey,
        limit=limit,
        ledger=ledger,
        num_threads=max(1, config.data.num_threads),
    )

    def embed(batch: Mapping[str, Any]) -> dict[tuple[str, str], Any]:
        return {
            (name, kind): array
            for name, each in embeds.items()
            for kind, array in each(batch).items()
            if kind in kinds
        }

    features, rows = extract_all(embed, batches)
    return {
        name: Images(rows, {kind: each for (own, kind), each in features.items() if own == name})
        for name in embeds
    }


def _of_pixels(embed: Callable[[np.ndarray], np.ndarray]) -> Embed:
    return lambda batch: {GLOBAL: embed(batch["image"])}
