"""A trained model in three calls; needs no mesh, optimizer or training data."""

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from tvdim_jax.config import reads_grey, uses_sentences, uses_text
from tvdim_jax.data.errors import BadExample
from tvdim_jax.data.image_ops import rgb_to_grey
from tvdim_jax.data.squares import grey_square
from tvdim_jax.data.tokenizer import Tokenizer
from tvdim_jax.evals.features import extract
from tvdim_jax.evals.local_maps import word_maps
from tvdim_jax.experiment import run_folder
from tvdim_jax.experiment.encoders import (
    Embed,
    comparable,
    local_map_height,
    make_encoders,
    text_batches,
)
from tvdim_jax.experiment.model import Model, make_model
from tvdim_jax.experiment.region_critics import (
    REGION_PAIR_HEIGHT,
    check_local_scores,
    check_region_pairs,
    make_region_maps,
    make_text_maps,
)
from tvdim_jax.experiment.views import make_plain_view, square_of
from tvdim_jax.train.checkpoint import restore_part


class TrainedRun(NamedTuple):
    """What a run folder holds, its training state left out.

    Attributes:
      config: of the run.
      tokenizer: None for a run without text.
      model: pure encoder functions.
      params: trained parameters, on the default device.
      variables: batch statistics.
      step: updates that they have seen.
    """

    config: ConfigDict
    tokenizer: Tokenizer | None
    model: Model
    params: Any
    variables: Any
    step: int


class WordScores(NamedTuple):
    """What the words of a text add to its local scores.

    Attributes:
      text: as `Tokenizer.prepared` leaves it.
      words: T of them, as they stand in the text.
      spans: their (start, end) in the text.
      scores: float32 `[T, h, w]`, see `word_maps`.
      of_text: float32 `[h, w]`, the local scores that they add to.
    """

    text: str
    words: tuple[str, ...]
    spans: tuple[tuple[int, int], ...]
    scores: np.ndarray
    of_text: np.ndarray


class TrainedModel:
    """The encoders of a finished or stopped run; made by `tvdim_jax.load`."""

    def __init__(self, run: TrainedRun) -> None:
        self._config = run.config
        self._size, self._grey = run.config.data.image_size, reads_grey(run.config)
        self._tokenizer = run.tokenizer
        trees = (run.params, run.variables)
        self._encoders = make_encoders(run.config, run.model, *trees)
        view = make_plain_view(run.config.augment, run.config.model.image_size)
        # The trees are arguments: as constants of the program they would be folded for seconds.
        encode = jax.jit(
            lambda trees, x: run.model.image(*trees, view(x), train=False, key=None)[0]
        )
        self._features = partial(encode, trees)
        critics = run.params["critics"] if uses_sentences(run.config) else {}
        self._text_maps = make_text_maps(run.config, critics)
        self._region_maps = make_region_maps(run.config)

    def encode_image(self, images: np.ndarray | Sequence[np.ndarray]) -> np.ndarray:
        """Global features of images; of clip and srcl their projection, which meets that of texts.

        Args:
          images: uint8 RGB, `[N, H, W, 3]` or a list of `[H, W, 3]` of any sizes; each is
            resized by its shorter side and cropped to the centre square, of a run on karpathy,
            vqa or nlvr squeezed to it. A run on grey images also takes uint16 `[H, W, 1]`.

        Returns:
          float32 `[N, D]`, not normalised.

        Raises:
          ValueError: no image, or one that is not uint8 RGB.
        """
        stored = self._stored(images)
        rows = _batch_rows(len(stored), self._encoders.batch_size)
        batches = _image_batches(stored, rows)
        return extract(lambda batch: comparable(self._encoders.image(batch)), batches)[0]

    def encode_text(self, texts: Sequence[str]) -> np.ndarray:
        """The same of texts, comparable with images by cosine but for lmi, vqa and nlvr.

        Args:
          texts: N sentences; what passes the maximum length is cut off.

        Returns:
          float32 `[N, D]`, not normalised.

        Raises:
          ValueError: no text, or the run has no text encoder.
          TypeError: `texts` is one string.
        """
        tokenizer, encode = self._text_encoder()
        if isinstance(texts, str):
            raise TypeError("encode_text takes a list of texts, got one string; write [text]")
        if not len(texts):
            raise ValueError("encode_text got no texts, wanted at least one")
        rows = _batch_rows(len(texts), self._encoders.batch_size)
        return extract(encode, text_batches(tokenizer, texts, rows))[0]

    def local_scores(self, image: np.ndarray, text: str) -> np.ndarray:
        """Where in an image a text is seen, by the scores that the run trained.

        Args:
          image: uint8 RGB `[H, W, 3]`; a run on grey images also takes uint16 `[H, W, 1]`.
          text: one sentence.

        Returns:
          float32 `[h, w]`, rows from the top: cosines of the text with the 7 x 7 map, or, of a run
          of lmi, scores of its local critic on the regions, which have no bounds.

        Raises:
          ValueError: a run that trained no scores of places: of clip or srcl, of lmi without the
            local term, of tvdim without the map or the text.
        """
        check_local_scores(self._config)
        return self._text_maps(self.encode_text([text]), self._map(image))[0]

    def word_scores(self, image: np.ndarray, text: str) -> WordScores:
        """What each word of a text adds to `local_scores`, region by region.

        Args:
          image: see `local_scores`.
          text: one sentence; words behind the maximum length have no map.

        Raises:
          ValueError: see `local_scores`; or the text has no word.
        """
        check_local_scores(self._config)
        tokenizer, _ = self._text_encoder()
        text = tokenizer.prepared(text)
        spans = tokenizer.word_spans(text)
        if not spans:
            raise ValueError(f"word_scores: got {text!r}, wanted a text of one word or more")
        texts = [text, *(text[:start] + text[end:] for start, end in spans)]
        rows = _batch_rows(len(texts), self._encoders.batch_size)
        filled = texts + [""] * (rows - len(texts))  # few sizes, as each is compiled
        maps = self._text_maps(self.encode_text(filled), self._map(image))[: len(texts)]
        words = tuple(text[start:end] for start, end in spans)
        scores = np.asarray(word_maps(maps[0], maps[1:]))
        return WordScores(text, words, tuple(spans), scores, maps[0])

    def region_scores(self, image_1: np.ndarray, image_2: np.ndarray) -> np.ndarray:
        """Which regions of another image are like a region of this one, by AMDIM's own scores.

        Args:
          image_1: see `local_scores`.
          image_2: the same.

        Returns:
          float32 `[5, 5, 5, 5]`: of the region in row i and column j of image 1 the map
          `[i, j]` over image 2, within +-objective.clip.

        Raises:
          ValueError: a run that trained no pairs of regions: neither of amdim nor of tvdim with
            the image loss.
        """
        check_region_pairs(self._config)
        return self._region_maps(*(self._map(x, REGION_PAIR_HEIGHT) for x in (image_1, image_2)))

    def _map(self, image: np.ndarray, height: int | None = None) -> jax.Array:
        """The map `[h, w, D]` of a height; None is of the one that meets texts."""
        maps = self._features(self._stored([image])).local_features
        return maps[height or local_map_height(self._config)][0]

    def _text_encoder(self) -> tuple[Tokenizer, Embed]:
        if self._tokenizer is None or self._encoders.text is None:
            raise ValueError(
                "this run has no text encoder (objective.text_weight is 0 or the objective is "
                "amdim); train one with objective.name='tvdim'"
            )
        return self._tokenizer, self._encoders.text

    def _stored(self, images: np.ndarray | Sequence[np.ndarray]) -> np.ndarray:
        arrays = [np.asarray(image) for image in images]
        if not arrays:
            raise ValueError("encode_image got no images, wanted at least one")
        if self._grey:
            return np.stack([_grey_square(array, self._size) for array in arrays])
        for array in arrays:
            if array.dtype != np.uint8 or array.shape[2:] != (3,) or 0 in array.shape:
                raise ValueError(
                    f"an image must be uint8 [H, W, 3] in RGB, got {array.dtype} {array.shape}; "
                    "convert it with np.asarray(PIL.Image.open(path).convert('RGB')), and write "
                    "[image] for one image"
                )
        return np.stack([square_of(self._config, array, self._size) for array in arrays])


def _grey_square(array: np.ndarray, image_size: int) -> np.ndarray:
    try:
        is_rgb = array.dtype == np.uint8 and array.shape[2:] == (3,)
        return grey_square(rgb_to_grey(array) if is_rgb else array, image_size)
    except BadExample as error:
        raise ValueError(
            f"an image must be uint8 [H, W, 3] in RGB or uint16 [H, W, 1] in grey, got "
            f"{array.dtype} {array.shape}; write [image] for one image"
        ) from error


def _batch_rows(num_inputs: int, most: int) -> int:
    """Rows of a batch: few sizes, as each is compiled, and one input does not cost a full batch."""
    rows = jax.local_device_count()
    while rows < num_inputs:
        rows *= 2
    return min(rows, most)


def _image_batches(images: np.ndarray, batch_size: int) -> Iterator[dict[str, np.ndarray]]:
    """Batches of equal size; the last one is filled up with black images that do not count."""
    for start in range(0, len(images), batch_size):
        part = images[start : start + batch_size]
        empty = batch_size - len(part)
        yield {
            "image": np.pad(part, ((0, empty), (0, 0), (0, 0), (0, 0))),
            "image_id": np.arange(start, start + batch_size),
            "where": np.arange(batch_size) < len(part),
        }


def load(path: str | Path) -> TrainedModel:
    """Loads the newest checkpoint of a run folder.

    Args:
      path: the run folder, such as "runs/demo".

    Returns:
      The model, on the default device.

    Raises:
      ConfigError: there is no run in that folder.
      CheckpointError: the run has no checkpoint yet.
      DataError: its tokenizer cannot be read.
    """
    return TrainedModel(open_trained(Path(path)))


def open_trained(workdir: Path) -> TrainedRun:
    """Reads config, tokenizer and newest checkpoint of a run folder, which may have been moved.

    Raises:
      ConfigError: there is no run in that folder.
      CheckpointError: the run has no checkpoint yet.
      DataError: its tokenizer cannot be read.
    """
    config = run_folder.read_config(workdir)
    config.workdir = str(workdir)
    tokenizer = None
    if uses_text(config):
        tokenizer = Tokenizer.load(run_folder.tokenizer_path(workdir))
    model = make_model(config, tokenizer.vocab_size if tokenizer else 0)
    params, variables = jax.eval_shape(model.init, jax.random.key(0))
    step = jax.ShapeDtypeStruct((), jnp.int32)
    device = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
    target = jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=device),
        {"params": params, "variables": variables, "step": step},
    )
    trained = restore_part(run_folder.checkpoints_path(workdir), target)
    return TrainedRun(
        config, tokenizer, model, trained["params"], trained["variables"], int(trained["step"])
    )
