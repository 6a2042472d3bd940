import re

import jax.numpy as jnp
import pytest

from tvdim_jax.models.image.check import check_images


@pytest.mark.parametrize("shape", [(2, 1, 8, 8), (8, 8, 1), (2, 8, 8, 3), (2, 8, 9, 1)])
def test_another_shape_is_refused(shape):
    message = f"Net: images have shape {shape}; wanted [B, 8, 8, 1] (NHWC). Resize the images"
    with pytest.raises(ValueError, match=re.escape(message)):
        check_images("Net", jnp.zeros(shape), image_size=8, num_channels=1)


def test_the_wanted_shape_passes():
    check_images("Net", jnp.zeros((2, 8, 8, 1)), image_size=8, num_channels=1)
