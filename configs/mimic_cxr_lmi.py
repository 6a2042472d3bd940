"""LMI on MIMIC-CXR: chest X-rays and the sentences of their reports, as in the paper.

The folder is a MIMIC-CXR-JPG tree with the reports of MIMIC-CXR in it (docs/lmi.md says what goes
where); access needs PhysioNet's training and agreement. The official training part trains, the
official validation part is scored, and no subject is in both; `tvdim evaluate RUN --split test`
scores the official test part.

Command:   python -m tvdim_jax.main --config=configs/mimic_cxr_lmi.py --config.data.path=DIR
           --config.model.text_weights=BERT, a local Hugging Face folder, starts from clinical BERT
Hardware:  one GPU of 16 GiB
"""

from ml_collections import ConfigDict

from tvdim_jax.config import default


def get_config() -> ConfigDict:
    """The paper's encoders, critics and sizes."""
    config = default()
    config.data.source = "mimic_cxr"
    config.data.image_size = 256
    config.augment = "xray"
    config.tokenizer.vocab_size = 28_996
    config.tokenizer.max_length = 48
    config.model.image = "resnet256_6_2_1"
    config.model.image_size = 256
    config.model.text = "bert_base"
    config.objective.name = "lmi"
    config.optimizer.learning_rate = 5e-4
    config.optimizer.b1 = 0.9
    config.optimizer.weight_decay = 0.0
    config.optimizer.warmup_steps = 0
    config.optimizer.b2 = 0.999
    config.optimizer.text_learning_rate = 2e-5
    config.train.batch_size = 64
    config.train.num_steps = 100_000
    config.train.log_every = 100
    config.train.checkpoint_every = 5_000
    config.eval.tasks = ("linear_probe", "knn", "retrieval", "findings", "label_fractions")
    config.eval.num_train_examples = 20_000
    config.eval.num_test_examples = 2_000
    return config
