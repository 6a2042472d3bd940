"""An image encoder with a linear classifier on its global features, some parts of it frozen."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from tvdim_jax.experiment.model import Model
from tvdim_jax.features import Features
from tvdim_jax.models.heads import LinearHead


class Classifier(NamedTuple):
    """Pure functions; the classification objective takes them as `apply`.

    Trained parameters are {"image": the parts that train, "classifier": the head}; variables are
    {"batch_stats": ..., "frozen": the parts that do not}, so that no gradient, no optimizer and no
    update ever meets the latter.

    Attributes:
      image: `image(params, variables, images [B, s, s, C], *, train, key)` -> Features, variables.
      classifier: `classifier(params, global_features [B, D])` -> logits `[B, C]`, float32.
    """

    image: Callable[..., tuple[Features, Any]]
    classifier: Callable[[Any, jax.Array], jax.Array]


def make_classifier(
    model: Model,
    params: Any,
    variables: Any,
    *,
    num_classes: int,
    frozen: tuple[str, ...],
    image_shape: tuple[int, int, int],
    key: jax.Array,
) -> tuple[Classifier, Any, Any]:
    """A classifier that starts from a trained encoder and a fresh head.

    Args:
      model: with the encoder.
      params: of a run; what lies under "image" is used.
      variables: of the run, used alike.
      num_classes: C.
      frozen: see `split_frozen`.
      image_shape: what the encoder sees.
      key: of the head's initial values.

    Returns:
      The functions, the parameters to train and the variables.

    Raises:
      ValueError: a frozen part that the encoder does not have.
    """
    head: Any = LinearHead(num_classes)
    still, moving = split_frozen(params["image"], frozen)
    stats = {name: tree for name, tree in variables["batch_stats"].items() if name == "image"}

    def image(
        params: Any, variables: Any, images: jax.Array, *, train: bool, key: jax.Array | None
    ) -> tuple[Features, Any]:
        whole = {"image": joined(params, variables)}
        return model.image(whole, variables, images, train=train, key=key)

    def classifier(params: Any, global_features: jax.Array) -> jax.Array:
        logits: jax.Array = head.apply({"params": params["classifier"]}, global_features)
        return logits

    start: Any = {"batch_stats": stats, "frozen": still}
    images = jax.ShapeDtypeStruct((2, *image_shape), jnp.float32)
    encoded = jax.eval_shape(
        lambda x: image({"image": moving}, start, x, train=False, key=None)[0].global_features,
        images,
    )
    fresh = head.init(key, jnp.zeros((1, encoded.shape[-1])))["params"]
    return Classifier(image, classifier), {"image": moving, "classifier": fresh}, start


def joined(params: Any, variables: Any) -> dict[str, Any]:
    """All parameters of the encoder, trained and frozen ones."""
    return {**variables["frozen"], **params["image"]}


def split_frozen(
    encoder: Mapping[str, Any], frozen: tuple[str, ...]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The parts of an encoder that stay and those that train.

    Args:
      encoder: its parameters by the name of a part.
      frozen: names of parts, or what they begin with before a "_": "stage_1" is all its blocks.

    Returns:
      The frozen and the trained parts.

    Raises:
      ValueError: a name that the encoder does not have.
    """

    def is_under(part: str, name: str) -> bool:
        return part == name or part.startswith(f"{name}_")

    missing = [name for name in frozen if not any(is_under(part, name) for part in encoder)]
    if missing:
        raise ValueError(
            f"fine-tuning: got frozen parts {missing}, wanted some of {sorted(encoder)} or their "
            "beginnings; this encoder has no others"
        )
    stays = {part: any(is_under(part, name) for name in frozen) for part in encoder}
    still = {part: tree for part, tree in encoder.items() if stays[part]}
    return still, {part: tree for part, tree in encoder.items() if not stays[part]}
