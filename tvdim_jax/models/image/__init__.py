"""Image encoders: `[B, s, s, num_channels]` -> Features."""

from tvdim_jax.models.image.amdim import AMDIMEncoder
from tvdim_jax.models.image.positions import resize_positions
from tvdim_jax.models.image.resnet import LMIResNet, ResNet
from tvdim_jax.models.image.vit import CLIPViT, ViT

__all__ = ["AMDIMEncoder", "CLIPViT", "LMIResNet", "ResNet", "ViT", "resize_positions"]
