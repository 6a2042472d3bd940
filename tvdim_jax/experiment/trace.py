"""A dry run: the loss of one batch, without data and without computing."""

from functools import partial

import jax
from ml_collections import ConfigDict

from tvdim_jax.config import ConfigError, reads_grey
from tvdim_jax.experiment.model import make_model
from tvdim_jax.experiment.objective import Words, batch_shapes, make_loss_fn
from tvdim_jax.experiment.start import init_state, optimizer_of
from tvdim_jax.experiment.teacher import Teacher, with_teacher
from tvdim_jax.models import make_image_encoder


def trace(config: ConfigDict, teacher: Teacher | None = None) -> dict[str, jax.ShapeDtypeStruct]:
    """Traces the loss of the config; what fails here would fail at the first update.

    Args:
      config: checked; its data need not exist.
      teacher: that of the config, which is not read here.

    Returns:
      The metrics of the objective, by name.

    Raises:
      ConfigError: the encoder reads other images than the data and the augmentation give.
      ValueError: names or sizes that do not fit together, in the words of the room concerned.
    """
    _check_images(config)
    model = with_teacher(make_model(config, config.tokenizer.vocab_size), teacher)
    words = Words(config.tokenizer.vocab_size, mask_id=4, never_masked=(2,))  # as trained ones are
    loss_fn, key = make_loss_fn(config, model, words=words), jax.random.key(0)
    state = jax.eval_shape(lambda: init_state(config, model, optimizer_of(config), teacher))
    loss_of_batch = partial(loss_fn, key=key, step=0)
    _, (metrics, _) = jax.eval_shape(
        loss_of_batch, state.params, state.variables, batch_shapes(config)
    )
    return metrics


def _check_images(config: ConfigDict) -> None:
    """Says in fields of the config what the rooms below would say in shapes."""
    name, size, stored = config.model.image, config.model.image_size, config.data.image_size
    encoder = make_image_encoder(name, image_size=size)
    if size > stored:
        raise ConfigError(
            f"config.model.image_size is {size} with config.data.image_size={stored}, wanted at "
            f"most the side at which images are stored; add --config.data.image_size={size}"
        )
    if (encoder.num_channels == 1) != reads_grey(config):
        kinds = {1: "grey images", 3: "RGB images"}
        given = kinds[1 if reads_grey(config) else 3]
        raise ConfigError(
            f"config.model.image is {name!r}, which reads {kinds[encoder.num_channels]}, with "
            f"config.augment={config.augment!r}, which gives {given}: 'xray' alone gives grey "
            "ones, and only the encoders resnet256_... read them; change one of the two"
        )
