"""What a trained arm is worth: linear probe, retrieval and the pointing game."""

from typing import Any

from ml_collections import ConfigDict

from benchmarks.studies.training import Trained
from tvdim_jax.evals import linear_probe
from tvdim_jax.experiment.data import Splits
from tvdim_jax.experiment.encoders import GLOBAL, LOCAL_MAP, LOCAL_MEAN, make_encoders
from tvdim_jax.experiment.evaluation import read_images
from tvdim_jax.experiment.tasks import TASK_OF, Context
from tvdim_jax.experiment.tasks.base import first_rows, limits
from tvdim_jax.experiment.tasks.labels import labelled_parts

KINDS = {GLOBAL, LOCAL_MEAN}, {GLOBAL, LOCAL_MEAN, LOCAL_MAP}  # of the training and test part


def score_arm(config: ConfigDict, splits: Splits, trained: Trained) -> dict[str, Any]:
    """Scores on the second part of the set; the probe learns from the first.

    Returns:
      "probe": metric of the global vector ("global") and of the mean over the regions ("regions").
      With text also "retrieval": recalls between images and whole reports by each critic that the
      arm trained, "local" and "global", and by the sum of both; and "pointing", on scenes by a
      local critic.
    """
    encoders = make_encoders(config, trained.model, trained.params, trained.variables)
    train, test = (
        read_images(
            source,
            first_rows(config, source, limit),
            {"arm": encoders.image},
            kinds,
            config=config,
            batch_size=encoders.batch_size,
        )["arm"]
        for source, limit, kinds in zip(splits, limits(config), KINDS, strict=True)
    )
    context = Context(config, splits, train, test, encoders, trained.tokenizer)
    result: dict[str, Any] = {"probe": {}}
    for name, kind in (("global", GLOBAL), ("regions", LOCAL_MEAN)):
        probe = linear_probe.evaluate(*labelled_parts(train, test, splits, kind), seed=config.seed)
        result["probe"][name] = {probe.metric: probe.value}
    found = {
        task: TASK_OF[task].run(context).result
        for task in ("retrieval", "pointing")
        if TASK_OF[task].missing(config, splits) is None
    }
    if "retrieval" in found:
        retrieval = found["retrieval"]
        result["retrieval"] = {**retrieval["details"], "chance": retrieval["chance"]}
    if "pointing" in found:
        result["pointing"] = found["pointing"]["shares"]
    return result
