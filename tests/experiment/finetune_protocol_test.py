from functools import partial

import jax
import jax.numpy as jnp
import pytest

from tvdim_jax.experiment.classifier import split_frozen
from tvdim_jax.experiment.finetune_protocol import (
    LMI_FROZEN,
    FineTuning,
    check_options,
    chosen_protocol,
    default_protocol,
    lmi_protocol,
)
from tvdim_jax.models.variants import make_image_encoder


def test_the_protocol_of_the_lmi_authors():
    frozen, tuned = lmi_protocol(7066, frozen=True), lmi_protocol(7066, frozen=False)
    assert (frozen.num_steps, frozen.batch_size) == (300 * 111, 64)
    assert (frozen.learning_rate, frozen.schedule, frozen.warmup_steps) == (5e-4, "constant", 0)
    assert (frozen.weight_decay, frozen.layer_decay, frozen.batch_statistics) == (0, 1, True)
    assert tuned == frozen._replace(frozen=())


def test_a_protocol_by_its_name_and_what_differs_from_it():
    default = default_protocol(640)
    assert chosen_protocol("default", 640) == default
    assert (default.num_steps, default.warmup_steps, default.schedule) == (300, 15, "cosine")
    assert (default.learning_rate, default.layer_decay, default.frozen) == (1e-3, 0.75, ())
    assert chosen_protocol("lmi_tuned", 640) == lmi_protocol(640, frozen=False)
    short = chosen_protocol("lmi_frozen", 641, epochs=2, learning_rate=1e-4)
    assert short == lmi_protocol(641, frozen=True)._replace(num_steps=22, learning_rate=1e-4)
    assert chosen_protocol("default", 640, epochs=60).warmup_steps == 30
    check_options(chosen_protocol("default", 3, epochs=1))


def test_the_frozen_parts_are_those_of_the_encoder_below_its_last_stage():
    encoder = make_image_encoder("resnet256_6_2_1", image_size=256)
    images = jax.ShapeDtypeStruct((2, 256, 256, 1), jnp.float32)
    shapes = jax.eval_shape(partial(encoder.init, train=False), jax.random.key(0), images)
    frozen, trained = split_frozen(shapes["params"], LMI_FROZEN)
    assert set(trained) == {"stage_6_block_1", "stage_6_block_2"}
    assert len(frozen) == 1 + 5 * 2


@pytest.mark.parametrize(
    "options", [FineTuning(0), FineTuning(5, warmup_steps=5), FineTuning(5, batch_size=0)]
)
def test_numbers_that_do_not_add_up(options):
    with pytest.raises(ValueError, match="wanted at least 1 update more than the warm-up has"):
        check_options(options)
