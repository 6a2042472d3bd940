"""A model of two matrices, and images of one colour: fine-tuning without a network."""

import jax
import jax.numpy as jnp
import numpy as np

from tvdim_jax.data.errors import BadExample
from tvdim_jax.experiment.model import Model
from tvdim_jax.features import Features

WIDTH = 6


class Colours:
    """Row i is an image of one colour, the first `count` rows of a fixed table."""

    name = "colours"

    def __init__(self, count, bad=()):
        self.colour = np.random.default_rng(7).integers(0, 256, (count, 3))
        self._bad = bad

    def __len__(self):
        return len(self.colour)

    def read_image(self, row, min_side=0):
        if row in self._bad:
            raise BadExample("missing file")
        return np.full((32, 32, 3), self.colour[row], np.uint8)

    def read_grey(self, row, min_side=0):
        image = np.zeros((32, 32, 1), np.uint16)
        image[: 8 + row % 16] = 500
        return image

    def example_id(self, row):
        return f"{row}.jpg"


def linear_model():
    """Mean colour -> `WIDTH` numbers -> as many; batch statistics count the calls in training."""

    def init(key):
        rng = np.random.default_rng(3)
        params = {
            "stem": {"kernel": jnp.float32(rng.normal(size=(1, 3, WIDTH)))},
            "stage_1_block_1": {"kernel": jnp.float32(rng.normal(size=(WIDTH, WIDTH)))},
        }
        other = {"text": {"bias": jnp.zeros(2)}}
        return {"image": params, **other}, {"batch_stats": {"image": {"calls": jnp.zeros(())}}}

    def image(params, variables, images, *, train, key):
        parts, stats = params["image"], variables["batch_stats"]
        channels = images.mean(axis=(1, 2))
        hidden = jnp.tanh(channels @ parts["stem"]["kernel"][0, : channels.shape[1]])
        moved = {"image": jax.tree.map(lambda calls: calls + train, stats["image"])}
        vector = hidden @ parts["stage_1_block_1"]["kernel"]
        return Features(vector, {}), {**variables, "batch_stats": moved}

    return Model(init, image, None)
