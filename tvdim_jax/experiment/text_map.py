"""The page with the map of one image and a text."""

from pathlib import Path

import numpy as np
from PIL import Image

from tvdim_jax.config import ConfigError, uses_sentences
from tvdim_jax.data.text_ops import clean_caption
from tvdim_jax.experiment import run_folder
from tvdim_jax.experiment.encoders import local_map_height
from tvdim_jax.experiment.inference import TrainedModel, open_trained
from tvdim_jax.experiment.map_sections import map_border
from tvdim_jax.experiment.views import seen_part, square_of
from tvdim_jax.report import make_page
from tvdim_jax.report.maps import MapCard, TextMap, maps_section

_MOST_PIXELS = 448  # side of the picture on the page


def write_map(workdir: Path, image: Path, text: str, output: Path) -> Path:
    """Writes a page that shows where a run sees a text in an image, and returns where it is.

    Args:
      workdir: the run folder.
      image: a file that Pillow opens.
      text: one sentence.
      output: the HTML file.

    Raises:
      ConfigError: there is no run, it has no local scores, or the image cannot be read.
      CheckpointError: the run has no checkpoint yet.
    """
    pixels = _read(image)
    run = open_trained(workdir)
    model, words = TrainedModel(run), clean_caption(text)
    try:
        of_words = model.word_scores(pixels, words)
    except ValueError as error:
        raise ConfigError(f"{workdir}: {error}") from error
    square = square_of(run.config, pixels, min(_MOST_PIXELS, *pixels.shape[:2]))
    card = MapCard(
        image.name,
        seen_part(run.config.augment, square),
        [TextMap(of_words.text, of_words.of_text, of_words.spans, of_words.scores)],
        map_border(run.config, local_map_height(run.config)),
    )
    section = maps_section([card], units="score" if uses_sentences(run.config) else "cosine")
    run_folder.write_text(output, make_page(f"{workdir.resolve().name}: {words}", [section]))
    return output


def _read(path: Path) -> np.ndarray:
    """uint8 RGB `[H, W, 3]`."""
    try:
        with Image.open(path) as picture:
            return np.asarray(picture.convert("RGB"))
    except OSError as error:
        raise ConfigError(
            f"cannot read the image {str(path)!r}: {error}; give a JPEG or PNG file"
        ) from error
