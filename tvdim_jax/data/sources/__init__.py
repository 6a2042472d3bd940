"""Where images and captions come from: drawn scenes, a folder, COCO; with caption noise on top.

`tvdim_jax.data.sources.coco` is imported by name, as it loads TFDS.
"""

from tvdim_jax.data.sources.base import Source
from tvdim_jax.data.sources.captions import CaptionsFolder
from tvdim_jax.data.sources.noise import NoisyCaptions, with_caption_noise
from tvdim_jax.data.sources.scenes import Scenes

__all__ = ["CaptionsFolder", "NoisyCaptions", "Scenes", "Source", "with_caption_noise"]
