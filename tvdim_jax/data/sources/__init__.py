"""Where images and texts come from: drawn scenes, a folder, COCO, MIMIC-CXR; noise on top.

`tvdim_jax.data.sources.coco` is imported by name, as it loads TFDS.
"""

from tvdim_jax.data.sources.base import Source
from tvdim_jax.data.sources.captions import CaptionsFolder
from tvdim_jax.data.sources.mimic_cxr import MimicCxr
from tvdim_jax.data.sources.noise import NoisyCaptions, with_caption_noise
from tvdim_jax.data.sources.scenes import Scenes

__all__ = ["CaptionsFolder", "MimicCxr", "NoisyCaptions", "Scenes", "Source", "with_caption_noise"]
