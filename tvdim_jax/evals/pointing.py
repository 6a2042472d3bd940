"""The pointing game: is the region that answers a sentence best inside the object it names?

Boxes are (x0, y0, x1, y1) in pixels, x1 and y1 exclusive; pixel k covers [k, k + 1).
Source of the game: Zhang et al. 2016 (arXiv 1608.00507).
"""

import numpy as np


def pointing_hits(
    scores: np.ndarray, boxes: np.ndarray, image_size: int, field_pixels: float | None = None
) -> np.ndarray:
    """Whether the centre of the best-scoring region lies in the box.

    Args:
      scores: `[n, h, h]`, any float, one map an object: how well each region answers its sentence.
      boxes: `[n, 4]`, of the named objects.
      image_size: pixels of a side.
      field_pixels: see `region_centres`.

    Returns:
      float64 `[n]`: 1 or 0; of regions that tie for the best, the share that hits, so that a
      constant map is worth a random guess.

    Raises:
      ValueError: shapes that do not fit together, or a score that is not finite.
    """
    boxes = _checked(boxes)
    if scores.ndim != 3 or scores.shape[1] != scores.shape[2] or len(scores) != len(boxes):
        raise ValueError(
            f"pointing: got scores {scores.shape} and boxes {boxes.shape}, wanted [n, h, h] and "
            "[n, 4]; give one map for each object"
        )
    if not np.isfinite(scores).all():
        raise ValueError(
            f"pointing: got {int((~np.isfinite(scores)).sum())} scores that are NaN or infinite, "
            "wanted finite ones; evaluate an earlier checkpoint"
        )
    centres = region_centres(scores.shape[1], image_size, field_pixels)
    across, down = _inside(centres, boxes[:, 0::2]), _inside(centres, boxes[:, 1::2])
    inside = down[:, :, None] & across[:, None, :]
    best = scores == scores.max(axis=(1, 2), keepdims=True)
    return (best & inside).sum(axis=(1, 2)) / best.sum(axis=(1, 2))


def chance_hits(boxes: np.ndarray, image_size: int) -> np.ndarray:
    """Share of the image that each box covers: what a random pixel hits.

    Args:
      boxes: `[n, 4]`, within the image.
      image_size: pixels of a side.

    Returns:
      float64 `[n]` in [0, 1].
    """
    boxes = _checked(boxes)
    sides = boxes[:, 2:] - boxes[:, :2]
    return sides.prod(axis=1) / image_size**2


def centre_hits(boxes: np.ndarray, image_size: int) -> np.ndarray:
    """1 where the box holds the centre of the image, else 0: what always pointing there hits.

    Args:
      boxes: `[n, 4]`.
      image_size: pixels of a side.

    Returns:
      float64 `[n]`.
    """
    boxes, centre = _checked(boxes), np.array([image_size / 2])
    inside = _inside(centre, boxes[:, 0::2]) & _inside(centre, boxes[:, 1::2])
    return inside[:, 0].astype(np.float64)


def region_centres(height: int, image_size: int, field_pixels: float | None = None) -> np.ndarray:
    """Where the centres of the rows of a square map lie in the image.

    Args:
      height: h, rows of the map.
      image_size: pixels of a side.
      field_pixels: side of the square that one region sees, where the encoder does not pad: the
        first and the last square lie flush with the border. None: the regions tile the image, as
        those of an encoder that pads do.

    Returns:
      float64 `[h]`, pixels from the border.
    """
    field = image_size / height if field_pixels is None else field_pixels
    return np.linspace(field / 2, image_size - field / 2, height)


def _inside(places: np.ndarray, spans: np.ndarray) -> np.ndarray:
    """Places `[h]` in spans `[n, 2]`, first and end: bool `[n, h]`."""
    return (places[None] >= spans[:, :1]) & (places[None] < spans[:, 1:])


def _checked(boxes: np.ndarray) -> np.ndarray:
    boxes = np.asarray(boxes, np.float64)
    if boxes.ndim != 2 or boxes.shape[1] != 4 or not (boxes[:, 2:] > boxes[:, :2]).all():
        raise ValueError(
            f"boxes: got shape {boxes.shape}, wanted [n, 4] of (x0, y0, x1, y1) with x0 < x1 and "
            "y0 < y1; leave objects without a box out"
        )
    return boxes
