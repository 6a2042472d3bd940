"""Text encoders: `[B, T]` token ids -> Features."""

from tvdim_jax.models.text.bert import BertEncoder, BertFusion, WordPredictor
from tvdim_jax.models.text.transformer import TextTransformer

__all__ = ["BertEncoder", "BertFusion", "TextTransformer", "WordPredictor"]
