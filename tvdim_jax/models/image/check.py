"""The check of input images that all image encoders share."""

import jax


def check_images(encoder: str, images: jax.Array, image_size: int, num_channels: int) -> None:
    """Refuses images of another shape than the encoder wants.

    Args:
      encoder: its name, for the message.
      images: the batch, wanted `[B, image_size, image_size, num_channels]`.
      image_size: side in pixels.
      num_channels: 1 (grey) or 3.

    Raises:
      ValueError: another shape.
    """
    wanted = (image_size, image_size, num_channels)
    if images.ndim != 4 or images.shape[1:] != wanted:
        sizes = ", ".join(str(size) for size in wanted)
        raise ValueError(
            f"{encoder}: images have shape {images.shape}; wanted [B, {sizes}] (NHWC). "
            "Resize the images or set image_size."
        )
