"""Results as CLIP_benchmark writes its own, so that its table builder reads ours beside them.

`clip_benchmark build runs/demo/evals --output table.csv` makes a row of every JSON file: its fields
"dataset", "model", "pretrained", "task", "language" and all others, and its "metrics". Numbers that
measure the same stand in "metrics" under both names. Datasets and tasks keep the names of ours,
since their splits and protocols are not those of CLIP_benchmark.

Source: `main_build` of clip_benchmark/cli.py, release 1.6.2
(https://github.com/LAION-AI/CLIP_benchmark).
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from tvdim_jax.config import uses_text

_RECALLS = {
    f"{ours}_R@{k}": f"{theirs}_recall@{k}"
    for ours, theirs in (("text_to_image", "image_retrieval"), ("image_to_text", "text_retrieval"))
    for k in (1, 5, 10)
}
# Task -> our name -> that of CLIP_benchmark for the same number.
SAME: Mapping[str, Mapping[str, str]] = {
    "zero_shot": {
        "accuracy": "acc1",
        "top_5_accuracy": "acc5",
        "class_mean_accuracy": "mean_per_class_recall",
        "mAP": "mean_average_precision",
    },
    "linear_probe": {
        "accuracy": "lp_acc1",
        "top_5_accuracy": "lp_acc5",
        "class_mean_accuracy": "lp_mean_per_class_recall",
    },
    "retrieval": _RECALLS,
    "reranking": _RECALLS,  # those by cosine
}


def with_their_names(task: str, result: Mapping[str, Any], config: ConfigDict) -> dict[str, Any]:
    """A result with what the table builder looks for.

    Args:
      task: that found it.
      result: JSON with "metrics".
      config: of the run; its encoders are "model", the name of its folder is "pretrained".

    Returns:
      The result, its metrics also under CLIP_benchmark's names, with "model", "pretrained" and
      "language": "en" for the sources that are known to be English, else "".
    """
    numbers = {**result, **result["metrics"]}
    theirs = {
        name: numbers[ours]
        for ours, name in SAME.get(task, {}).items()
        if numbers.get(ours) is not None
    }
    model = config.model
    return {
        **result,
        "metrics": {**result["metrics"], **theirs},
        "model": f"{model.image} + {model.text}" if uses_text(config) else model.image,
        "pretrained": Path(config.workdir).name,
        "language": "" if config.data.source == "captions" else "en",
    }


def with_our_names(record: Mapping[str, Any]) -> dict[str, Any]:
    """What an evaluation wrote, each of its metrics once.

    Args:
      record: JSON of `with_their_names` with "task".
    """
    theirs = SAME.get(record["task"], {}).values()
    ours = {name: value for name, value in record["metrics"].items() if name not in theirs}
    return {**record, "metrics": ours}
