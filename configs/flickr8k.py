"""TVDIM on a folder of photographs with captions, such as Flickr8k.

The folder holds captions.jsonl, one row an image: {"image": "images/x.jpg", "captions": [...]},
and for the probe "labels" and "ambiguous" (concepts that the captions do not settle). A tenth of
the images, by the hash of their names, is kept for evaluation.

Command:   python -m tvdim_jax.main --config=configs/flickr8k.py --config.data.path=DIR
Hardware:  2 CPU cores, 20 minutes
Expected:  on 6,488 of Flickr8k's photographs, mean AUC over 22 concepts of the linear probe 83.1 %
           (random initialisation 75.9 %, pixels and gradients 76.5 %), image-text R@10 15 %
           (chance 1.5 %)
"""

from ml_collections import ConfigDict

from tvdim_jax.config import default


def get_config() -> ConfigDict:
    """Photographs at 32 pixels, 26 epochs of Flickr8k; 64 pixels or more where there is a GPU."""
    config = default()
    config.data.source = "captions"
    config.data.image_size = 40
    config.tokenizer.vocab_size = 3_000
    config.tokenizer.max_length = 24
    config.augment = "stl"
    config.model.image = "amdim_cpu_wide"
    config.model.image_size = 32
    config.model.text = "text_demo"
    config.optimizer.learning_rate = 2e-3
    config.optimizer.warmup_steps = 100
    config.optimizer.schedule = "cosine"
    config.train.batch_size = 64
    config.train.num_steps = 2_400
    config.train.log_every = 40
    config.eval.num_train_examples = 6_000
    return config
