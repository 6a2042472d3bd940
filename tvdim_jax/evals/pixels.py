"""Baselines that no training made: what the images alone give a probe."""

import numpy as np

_RAW_SIDE = 32  # most pixels a side that are features
_GRID = 16  # side of the thumbnail
_CELLS = 4  # cells of gradient orientations per side
_ORIENTATIONS = 8
_BLOCK = 128  # images at a time
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601


def raw_pixels(images: np.ndarray) -> np.ndarray:
    """Every pixel as a feature, of images averaged down to 32 x 32 where they are larger.

    Args:
      images: uint8 `[n, h, w, 3]`.

    Returns:
      float32 `[n, min(h, 32) * min(w, 32) * 3]` in [0, 1].

    Raises:
      ValueError: not uint8 RGB images.
    """
    _check(images)
    height, width = (min(size, _RAW_SIDE) for size in images.shape[1:3])
    blocks = [images[start : start + _BLOCK] for start in range(0, images.shape[0], _BLOCK)]
    return np.concatenate([_shrink(_unit(block), height, width) for block in blocks])


def pixels_and_gradients(images: np.ndarray) -> np.ndarray:
    """A 16 x 16 thumbnail beside histograms of gradient orientations.

    Thumbnail: each value is the mean over its 1/16 x 1/16 of the image. Histograms (after Dalal
    and Triggs 2005, without overlapping blocks): central differences of the luma; each pixel adds
    its gradient's length to one of 8 unsigned orientations of one of 4 x 4 cells; the 128 values
    of an image are divided by their Euclidean length.

    Args:
      images: uint8 `[n, h, w, 3]`, h and w >= 4.

    Returns:
      float32 `[n, 768 + 128]`; thumbnail in [0, 1], histograms in [0, 1] (all 0 on a flat image).

    Raises:
      ValueError: not uint8 RGB images of 4 pixels a side or more.
    """
    _check(images)
    if min(images.shape[1:3]) < _CELLS:
        raise ValueError(
            f"gradient cells need images of {_CELLS} x {_CELLS} pixels or more, got "
            f"{images.shape[1]} x {images.shape[2]}; use raw_pixels"
        )
    blocks = [images[start : start + _BLOCK] for start in range(0, images.shape[0], _BLOCK)]
    return np.concatenate([_describe(_unit(block)) for block in blocks])


def _unit(images: np.ndarray) -> np.ndarray:
    """Bytes to float32 in [0, 1]."""
    return images.astype(np.float32) / 255.0


def _describe(images: np.ndarray) -> np.ndarray:
    histograms = _orientation_histograms(images @ _LUMA)
    return np.concatenate(
        [_shrink(images, _GRID, _GRID), histograms.reshape(images.shape[0], -1)], axis=1
    )


def _shrink(images: np.ndarray, height: int, width: int) -> np.ndarray:
    """Area averages: `[n, h, w, 3]` -> `[n, height * width * 3]`."""
    rows, columns = _averages(images.shape[1], height), _averages(images.shape[2], width)
    shrunk = np.einsum("ah,nhwc,bw->nabc", rows, images, columns, optimize=True)
    return shrunk.reshape(images.shape[0], -1)


def _averages(size: int, num_parts: int) -> np.ndarray:
    """`[num_parts, size]`: row a averages the pixels under its part of the axis, by overlap."""
    low = np.arange(num_parts)[:, None] * size / num_parts
    pixel = np.arange(size)[None, :]
    overlap = np.minimum(low + size / num_parts, pixel + 1) - np.maximum(low, pixel)
    return (np.clip(overlap, 0, None) * num_parts / size).astype(np.float32)


def _orientation_histograms(luma: np.ndarray) -> np.ndarray:
    """`[n, h, w]` -> `[n, 4, 4, 8]`, unit length per image."""
    down, right = np.gradient(luma, axis=(1, 2))
    length = np.hypot(down, right)
    angle = np.arctan2(down, right) % np.pi  # unsigned: a sign change is the same edge
    orientation = np.minimum((angle * _ORIENTATIONS / np.pi).astype(np.int64), _ORIENTATIONS - 1)
    row_starts = np.arange(_CELLS) * luma.shape[1] // _CELLS
    column_starts = np.arange(_CELLS) * luma.shape[2] // _CELLS
    cells = []
    for wanted in range(_ORIENTATIONS):
        edges = np.where(orientation == wanted, length, 0.0)
        cells.append(np.add.reduceat(np.add.reduceat(edges, row_starts, 1), column_starts, 2))
    histograms = np.stack(cells, axis=-1)
    norm = np.sqrt(np.sum(histograms**2, axis=(1, 2, 3), keepdims=True))
    return (histograms / np.maximum(norm, 1e-6)).astype(np.float32)


def _check(images: np.ndarray) -> None:
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[3] != 3:
        raise ValueError(
            f"pixel baselines want uint8 [n, h, w, 3], got {images.dtype} {images.shape}; pass the "
            "images of the source, not the normalised views"
        )
