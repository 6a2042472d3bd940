"""TVDIM on COCO captions at 128 pixels: the recipe of AMDIM with a ranking against text.

Prepare:   tvdim data prepare coco --from ~/coco
Command:   python -m tvdim_jax.main --config=configs/coco.py
Hardware:  8 accelerators
Expected:  not known: this configuration has not been run at full length
"""

from ml_collections import ConfigDict

from tvdim_jax.config import default


def get_config() -> ConfigDict:
    """AMDIM small (ndf 192, 1,536 features, depth 8), global batch 480, 200 epochs of train2017."""
    config = default()
    config.data.source = "coco"
    config.data.image_size = 176
    config.data.num_threads = 16
    config.tokenizer.vocab_size = 16_000
    config.augment = "imagenet"
    config.model.image = "amdim_imagenet_small"
    config.model.image_size = 128
    config.model.text = "text_small"
    config.model.dtype = "bfloat16"
    config.optimizer.schedule = "step"
    config.optimizer.step_boundaries = (30_000, 45_000)
    config.train.batch_size = 480
    config.train.num_steps = 50_000
    config.train.log_every = 50
    config.train.checkpoint_every = 1_000
    config.eval.num_train_examples = 20_000
    config.eval.num_test_examples = 5_000
    return config
