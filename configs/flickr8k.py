"""TVDIM on a folder of photographs with captions, such as Flickr8k.

The folder holds captions.jsonl, one row an image: {"image": "images/x.jpg", "captions": [...]},
and for the probe "labels" and "ambiguous" (concepts that the captions do not settle). A tenth of
the images, by the hash of their names, is kept for evaluation.

Command:   python -m tvdim_jax.main --config=configs/flickr8k.py --config.data.path=DIR
"""

from ml_collections import ConfigDict

from tvdim_jax.config import default


def get_config() -> ConfigDict:
    """Photographs at 64 pixels, for two CPU cores in 20 minutes."""
    config = default()
    config.data.source = "captions"
    config.data.image_size = 80
    config.tokenizer.vocab_size = 4_000
    config.tokenizer.max_length = 24
    config.augment = "stl"
    config.model.image = "amdim_tiny"
    config.model.image_size = 64
    config.model.text = "text_tiny"
    config.optimizer.learning_rate = 1e-3
    config.optimizer.warmup_steps = 100
    config.optimizer.schedule = "cosine"
    config.train.batch_size = 64
    config.train.num_steps = 1_500
    config.eval.num_train_examples = 6_000
    return config
