"""Evaluations of frozen features: probes, neighbours, retrieval, pointing and baselines.

Use the modules by name: `features.extract`, `linear_probe.evaluate`, `knn.evaluate`,
`retrieval.recall_at_k`, `pointing.pointing_hits`, `pixels.raw_pixels`.
"""

from tvdim_jax.evals import auc, features, knn, labelled, linear_probe, logistic, pixels, retrieval
from tvdim_jax.evals.labelled import LabelledFeatures

__all__ = [
    "LabelledFeatures",
    "auc",
    "features",
    "knn",
    "labelled",
    "linear_probe",
    "logistic",
    "pixels",
    "retrieval",
]
