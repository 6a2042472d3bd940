"""Mutual information of held-out images and texts by several bounds, and the shape of features.

The bounds are those of the critic that the run trained; one more is that of a critic which learns
on the frozen features of the training part, so that what the features share can be told from what
their own critic makes of it.
"""

from typing import Any

import numpy as np
from ml_collections import ConfigDict

from tvdim_jax.config import compares_texts, uses_sentences, uses_text
from tvdim_jax.evals import jsd_critic, mi_estimate, representation
from tvdim_jax.evals.mi_estimate import ESTIMATE_NAMES, PAIRS_PER_TILE, MiPanel
from tvdim_jax.experiment.data import Splits
from tvdim_jax.experiment.encoders import EMBEDDING, GLOBAL, LOCAL_MAP, comparable
from tvdim_jax.experiment.tasks.base import Context, Outcome, Result, Task
from tvdim_jax.experiment.tasks.held_out_pairs import HeldOutPairs, held_out_pairs


def _missing(config: ConfigDict, splits: Splits) -> None:
    """Nothing: images are enough, texts add the pairs."""


def _mi(context: Context) -> Outcome:
    config, splits, test = context.config, context.splits, context.test
    images = np.asarray(comparable(test.features))
    shape: dict[str, float] = _shape_of("image", images)
    pairs = held_out_pairs(context, test, splits.test) if compares_texts(config) else None
    if pairs is None or len(pairs.x) < 2:
        why = "no pairs of an image and a text" if uses_text(config) else "no text encoder"
        note = f"{why}: only the shape of the features of {len(images):,} images"
        return Outcome({"metrics": shape, "numbers": {"features": shape}, "note": note}, {})
    shape |= _shape_of("text", pairs.y)
    if not uses_sentences(config):  # of lmi they have no space in common
        shape["alignment"] = representation.alignment(pairs.x, pairs.y)
        shape["modality_gap"] = representation.modality_gap(pairs.x, pairs.y)
    fitted = held_out_pairs(context, context.train, splits.train)
    panel, learned = _panel(pairs, fitted, config.seed)
    nats = {
        f"{'smile_of_jsd_critic' if name == 'jsd' else name}_nats": each["nats"]
        for name, each in panel.estimates.items()
        if each["nats"] is not None
    }
    result: Result = {
        "metrics": {
            **nats,
            "log_n_nats": panel.log_n,
            "saturated": float(panel.saturated),
            **shape,
        },
        "numbers": {
            "nats, 95 % interval": {
                **{
                    ESTIMATE_NAMES[name]: [*each.values()] for name, each in panel.estimates.items()
                },
                f"ceiling of InfoNCE, log {panel.pairs_per_tile}": panel.log_n,
            },
            "features": shape,
        },
        "panel": panel._asdict(),
        "critic": pairs.critic,
        "jsd_critic": learned,
        "note": _note(panel, pairs, learned),
    }
    return Outcome(result, {})


def _shape_of(name: str, vectors: np.ndarray) -> dict[str, float]:
    return {
        f"{name}_uniformity": representation.uniformity(vectors),
        f"{name}_effective_rank": representation.effective_rank(vectors),
    }


def _panel(
    pairs: HeldOutPairs, fitted: HeldOutPairs | None, seed: int
) -> tuple[MiPanel, dict[str, Any] | None]:
    """The panel, and how the critic learned that is trained on pairs of the training part."""
    if fitted is None or len(fitted.x) < jsd_critic.FEWEST_PAIRS:
        return mi_estimate.estimate(pairs.score, len(pairs.x), seed=seed), None
    critic = jsd_critic.fit(fitted.x, fitted.y, seed=seed)
    score = critic.score_tile(pairs.x, pairs.y)
    panel = mi_estimate.estimate(pairs.score, len(pairs.x), jsd_score=score, seed=seed)
    learned = {"num_train": len(fitted.x), "epoch": critic.epoch}
    return panel, {**learned, "stop_objective": critic.stop_objective}


def _note(panel: MiPanel, pairs: HeldOutPairs, learned: dict[str, Any] | None) -> str:
    note = (
        f"{panel.num_pairs:,} pairs of different texts, {panel.pairs_per_tile} at a time; "
        f"{pairs.critic}"
    )
    if panel.saturated:
        note += (
            "; InfoNCE is saturated: the pairs share at least its ceiling, and it cannot say how "
            "much more; "
        )
        if panel.pairs_per_tile < PAIRS_PER_TILE:
            note += f"up to {PAIRS_PER_TILE} pairs raise it: --config.eval.num_test_examples"
        else:
            note += "the others have no such ceiling, see their intervals"
    if learned is None:
        note += f"; no JSD-trained critic on fewer than {jsd_critic.FEWEST_PAIRS} training pairs"
    return note


MI = Task(
    does="bounds on the information that images and texts share, in nats",
    run=_mi,
    missing=_missing,
    train=(GLOBAL, EMBEDDING),
    test=(GLOBAL, EMBEDDING, LOCAL_MAP),
    takes_pixels=False,
)
