"""Image encoders: `[B, s, s, 3]` -> Features."""

from tvdim_jax.models.image.amdim import AMDIMEncoder

__all__ = ["AMDIMEncoder"]
