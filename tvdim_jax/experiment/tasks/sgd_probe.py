"""The probe of the AMDIM release: a linear classifier and an MLP, trained in mini-batches."""

from tvdim_jax.evals import sgd_probe
from tvdim_jax.experiment.encoders import GLOBAL
from tvdim_jax.experiment.tasks.base import Context, Outcome, Task
from tvdim_jax.experiment.tasks.few_shot import missing_one_class
from tvdim_jax.experiment.tasks.labels import labelled_parts


def _sgd_probe(context: Context) -> Outcome:
    schedules = sgd_probe.SCHEDULES
    # The release names its schedules by data set, as its augmentations.
    epochs, milestones = schedules.get(context.config.augment, schedules["cifar"])
    parts = labelled_parts(context.train, context.test, context.splits)
    found = sgd_probe.evaluate(
        *parts, epochs=epochs, milestones=milestones, seed=context.config.seed
    )
    result = {
        "metrics": {f"{each.classifier}_{each.metric}": each.value for each in found},
        "details": {"accuracy": {each.classifier: each.value for each in found}},
        "classifiers": [each._asdict() for each in found],
        "note": (
            f"protocol of the AMDIM release: Adam, {epochs} epochs, both classifiers after the "
            "last one; test statistics are clean"
        ),
    }
    return Outcome(result, {})


SGD_PROBE = Task(
    does="labels by AMDIM's own probe: linear and MLP, by mini-batches",
    run=_sgd_probe,
    missing=missing_one_class,
    train=(GLOBAL,),
    test=(GLOBAL,),
    takes_pixels=False,
)
