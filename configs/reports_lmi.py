"""LMI on a folder of grey images with free text, such as X-rays with notes.

The folder holds captions.jsonl as of configs/flickr8k.py; each text is split into sentences, an
image without text stays as a negative. A tenth of the images, by the hash of their names, is kept
for evaluation.

Command:   python -m tvdim_jax.main --config=configs/reports_lmi.py --config.data.path=DIR
Hardware:  2 CPU cores, an hour; a GPU for model.text=bert_base
"""

from ml_collections import ConfigDict

from tvdim_jax.config import default


def get_config() -> ConfigDict:
    """X-rays at 256 pixels in the paper's image encoder and critics, a small text encoder."""
    config = default()
    config.data.source = "captions"
    config.data.image_size = 256
    config.augment = "xray"
    config.tokenizer.vocab_size = 4_000
    config.tokenizer.max_length = 48
    config.model.image = "resnet256_6_2_1"
    config.model.image_size = 256
    config.model.text = "text_small"
    config.objective.name = "lmi"
    config.optimizer.learning_rate = 5e-4
    config.optimizer.b1 = 0.9
    config.optimizer.weight_decay = 0.0
    config.optimizer.warmup_steps = 50
    config.train.batch_size = 16
    config.train.num_steps = 1_000
    config.eval.batch_size = 32
    config.eval.tasks = ("linear_probe", "knn", "retrieval")
    return config
