"""A run that starts with the parameters of another one: SRCL fine-tuned, or the nets of a task."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict
from ml_collections import ConfigDict
from rich.console import Console

from tvdim_jax.config import ConfigError, uses_pair_nets
from tvdim_jax.experiment import run_folder
from tvdim_jax.experiment.inference import open_trained
from tvdim_jax.experiment.model import make_model
from tvdim_jax.models import resize_positions
from tvdim_jax.models.text import answer_decoder_params, pair_fusion_params
from tvdim_jax.weights import LoadReport

# Which field decides about the shapes of a branch of the parameters.
_FIELD_OF = {
    "image": "model.image",
    "text": "model.text",
    "fusion": "model.fusion",
    "decoder": "model.decoder",
    "pair_fusion": "model.pair_fusion",
    "image_projection": "model.embedding_width",
    "text_projection": "model.embedding_width",
}
_TEXT_POSITIONS = ("text/positions", "decoder/positions")


def check_pretrained(config: ConfigDict) -> None:
    """Raises ConfigError where this run cannot start from the one that `model.start_from` names.

    It asks the configs alone: what fails here would fail when the parameters are there.
    """
    if not config.model.start_from:
        return
    folder = Path(config.model.start_from)
    try:
        theirs = run_folder.read_config(folder)
    except ConfigError as error:
        raise ConfigError(f"config.model.start_from: {error}") from error
    if not uses_pair_nets(theirs):
        raise _error(folder, f"is one of {theirs.objective.name}, wanted one of clip or srcl")
    shapes = [
        jax.eval_shape(make_model(each, config.tokenizer.vocab_size).init, jax.random.key(0))
        for each in (theirs, config)
    ]
    if jax.tree.leaves([variables for _, variables in shapes]):
        raise _error(folder, "or this one has batch statistics, wanted two ViTs; take vit_b16")
    jax.eval_shape(lambda *trees: fitted(config, *trees)[0], *(params for params, _ in shapes))


def with_pretrained(config: ConfigDict, fresh: Any, console: Console) -> Any:
    """The fresh parameters with those of the run that `model.start_from` names; prints a report.

    Raises:
      ConfigError: there is no such run or checkpoint, or its parameters do not fit.
    """
    try:
        run = open_trained(Path(config.model.start_from))
    except ValueError as error:
        raise ConfigError(f"config.model.start_from: {error}") from error
    # On the host: an array that serves twice becomes two on the devices.
    params, report = fitted(config, jax.tree.map(np.asarray, run.params), fresh)
    where = f"{config.model.start_from}, step {run.step}"
    console.print(f"{where}: {report}", highlight=False, soft_wrap=True)
    return params


def fitted(
    config: ConfigDict, theirs: Mapping[str, Any], fresh: Mapping[str, Any]
) -> tuple[dict[str, Any], LoadReport]:
    """The parameters of another run in the tree of this one.

    A decoder of answers starts from text encoder, fusion and word predictor, a fusion with two
    images from the fusion; branches that the other run has nothing for stay fresh. Positions of a
    ViT are resized for another image size; of positions of texts the first are taken.

    Args:
      config: of this run, for the errors.
      theirs: params of the other run.
      fresh: params of this one.

    Returns:
      A tree like `fresh`, and the report.

    Raises:
      ConfigError: an array of another shape, naming the field that decides about it.
    """
    given = flatten_dict(_with_derived(theirs, fresh), sep="/")
    branches = {_branch(path) for path in given}
    found: dict[str, Any] = {}
    new: dict[str, str] = {}
    remarks: list[str] = []
    for path, own in sorted(flatten_dict(dict(fresh), sep="/").items(), key=_encoders_first):
        if _branch(path) not in branches:
            found[path], new[path] = own, "not in that run"
            continue
        array = _resized(path, given.get(path), own.shape)
        if array is None or array.shape != own.shape:
            raise _misfit(config, path, given.get(path), own.shape)
        if array is not given[path]:
            remarks.append(f"{path}: {len(given[path])} made {len(array)}")
        found[path] = array
    loaded = {path: int(array.size) for path, array in found.items() if path not in new}
    unused = {
        path: "no part of this run"
        for path in flatten_dict(dict(theirs), sep="/")
        if path not in loaded
    }
    return unflatten_dict(found, sep="/"), LoadReport(loaded, new, unused, tuple(remarks))


def _encoders_first(item: tuple[str, Any]) -> int:
    """So that an error names what the widths of other branches follow from."""
    order = [*_FIELD_OF]
    return order.index(_branch(item[0])) if _branch(item[0]) in order else len(order)


def _branch(path: str) -> str:
    return path.partition("/")[0]


def _with_derived(theirs: Mapping[str, Any], fresh: Mapping[str, Any]) -> dict[str, Any]:
    """Their branches, and what is made of them for the nets of a task."""
    derived: dict[str, Any] = {}
    if "decoder" in fresh and {"text", "fusion", "word_predictor"} <= set(theirs):
        parts = (theirs[name] for name in ("text", "fusion", "word_predictor"))
        try:
            derived["decoder"] = answer_decoder_params(*parts)
        except ValueError as error:
            raise ConfigError(f"config.model.start_from: {error}") from error
    if "pair_fusion" in fresh and "fusion" in theirs:
        derived["pair_fusion"] = pair_fusion_params(theirs["fusion"])
    return {**derived, **theirs}


def _resized(path: str, array: Any, shape: tuple[int, ...]) -> Any:
    """Tables of positions in the length of ours; anything else as it is."""
    if array is None or array.shape == shape or array.shape[1:] != shape[1:]:
        return array
    if path == "image/positions":
        return resize_positions(array, round((shape[0] - 1) ** 0.5))
    return array[: shape[0]] if path in _TEXT_POSITIONS else array


def _misfit(config: ConfigDict, path: str, array: Any, shape: tuple[int, ...]) -> ConfigError:
    field = _FIELD_OF.get(_branch(path), "tokenizer.vocab_path")
    if array is not None and array.shape[1:] == shape[1:]:
        if path in _TEXT_POSITIONS:
            field = "tokenizer.max_length"
        elif path.endswith("tokens/embedding"):
            field = "tokenizer.vocab_path"
    got = "no such array" if array is None else f"shape {tuple(array.shape)}"
    return _error(
        Path(config.model.start_from),
        f"has {got} for {path}, this one {tuple(shape)}; set config.{field} as that run has it",
    )


def _error(folder: Path, what: str) -> ConfigError:
    return ConfigError(f"config.model.start_from: the run in {str(folder)!r} {what}")
