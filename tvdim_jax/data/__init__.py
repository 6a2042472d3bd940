"""Data room: sources of images and captions, decoding, text, and the Grain stream (never jax).

Import what you need from its modules: `pipeline` loads Grain, `sources.coco` loads TFDS, the rest
neither.
"""

from tvdim_jax.data.errors import BadDataError, BadExample, DataError

__all__ = ["BadDataError", "BadExample", "DataError"]
