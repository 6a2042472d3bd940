"""The configuration of a run: its schema, its checks, and how it is read.

A file in configs/ calls `default()`, changes a few fields and returns the result from
`get_config()`. Quantities are global: the batch size is that of all devices together.
"""

from tvdim_jax.config.checks import (
    ConfigError,
    check,
    compares_texts,
    is_downstream,
    reads_grey,
    uses_answers,
    uses_embeddings,
    uses_fusion,
    uses_image_pairs,
    uses_pair_fusion,
    uses_pair_nets,
    uses_sentences,
    uses_text,
)
from tvdim_jax.config.files import from_json, load, override
from tvdim_jax.config.schema import TASKS, default, flat_fields

__all__ = [
    "TASKS", "ConfigError", "check", "compares_texts", "default", "flat_fields", "from_json",
    "is_downstream", "load", "override", "reads_grey", "uses_answers", "uses_embeddings",
    "uses_fusion", "uses_image_pairs", "uses_pair_fusion", "uses_pair_nets", "uses_sentences",
    "uses_text",
]  # fmt: skip
