"""Where images and texts come from: drawn scenes, folders, COCO, MIMIC-CXR, VQA, NLVR2; noise.

`tvdim_jax.data.sources.coco` is imported by name, as it loads TFDS.
"""

from tvdim_jax.data.sources.base import Source
from tvdim_jax.data.sources.captions import CaptionsFolder
from tvdim_jax.data.sources.karpathy import karpathy_captions
from tvdim_jax.data.sources.mimic_cxr import MimicCxr
from tvdim_jax.data.sources.nlvr import NlvrSet, read_nlvr
from tvdim_jax.data.sources.noise import NoisyCaptions, with_caption_noise
from tvdim_jax.data.sources.scenes import Scenes
from tvdim_jax.data.sources.vqa import VqaSet, read_answer_list, read_vqa

__all__ = [
    "CaptionsFolder", "MimicCxr", "NlvrSet", "NoisyCaptions", "Scenes", "Source", "VqaSet",
    "karpathy_captions", "read_answer_list", "read_nlvr", "read_vqa", "with_caption_noise",
]  # fmt: skip
