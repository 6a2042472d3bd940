"""Text encoders (`[B, T]` token ids -> Features), their fusion with images, and decoders."""

from tvdim_jax.models.text.answer_decoder import AnswerDecoder, answer_decoder_params
from tvdim_jax.models.text.bert import BertEncoder, BertFusion, WordPredictor
from tvdim_jax.models.text.pair_fusion import PairFusion, PairHead, pair_fusion_params
from tvdim_jax.models.text.transformer import TextTransformer

__all__ = [
    "AnswerDecoder", "BertEncoder", "BertFusion", "PairFusion", "PairHead", "TextTransformer",
    "WordPredictor", "answer_decoder_params", "pair_fusion_params",
]  # fmt: skip
