"""The decoder that writes an answer to a question about an image, as in ALBEF's VQA."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from tvdim_jax.models.text.bert import WordPredictor, check_heads, check_texts
from tvdim_jax.models.text.bert_layers import bert_embeddings, bert_layers


class AnswerDecoder(nn.Module):
    """A BERT that sees the words before each place, and the states of a question.

    Attributes:
      vocab_size: number of token ids.
      width: width of every layer; a multiple of num_heads.
      depth: number of layers, each with cross-attention to the question.
      num_heads: attention heads.
      mlp_width: width inside the MLPs.
      max_length: number of learned positions, the longest answer in tokens.
      dropout: rate in [0, 1), when training, of the embeddings, the attention weights, and the
        output of each branch.
      dtype: compute type, float32 or bfloat16. Parameters, softmax, norms and the returned logits
        are float32.
    """

    vocab_size: int
    width: int = 768
    depth: int = 6
    num_heads: int = 12
    mlp_width: int = 3072
    max_length: int = 512
    dropout: float = 0.1
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self,
        token_ids: jax.Array,
        token_valid: jax.Array,
        question: jax.Array,
        question_valid: jax.Array,
        *,
        train: bool,
    ) -> jax.Array:
        """Scores the word behind each place of as many answers as questions.

        Args:
          token_ids: int32 `[N, L]`, "[CLS]", the words, "[SEP]"; 1 <= L <= max_length.
          token_valid: bool `[N, L]`, True = a real token; nothing attends to the others.
          question: `[N, T, D]`, states of the question that has seen its image.
          question_valid: bool `[N, T]`.
          train: True applies dropout and needs the RNG stream "dropout".

        Returns:
          Logits `[N, L, vocab_size]` float32: at place t those of the token at place t + 1.

        Raises:
          ValueError: unequal shapes, L > max_length, or width not a multiple of num_heads.

        Source: Li et al. 2021 (arXiv 2107.07651), section 5.
        """
        check_texts("AnswerDecoder", token_ids, token_valid, self.max_length)
        check_heads("AnswerDecoder", self.width, self.num_heads)
        if question.shape[:-1] != question_valid.shape or len(question) != len(token_ids):
            raise ValueError(
                f"AnswerDecoder: {len(token_ids)} answers, question and question_valid have shapes "
                f"{question.shape} and {question_valid.shape}; wanted [N, T, D] and [N, T]. Give "
                "one question per answer."
            )
        x, words = bert_embeddings(self, token_ids, train=train)
        x, _ = bert_layers(
            self.depth,
            num_heads=self.num_heads,
            mlp_width=self.mlp_width,
            dropout=self.dropout,
            train=train,
            dtype=self.dtype,
            causal=True,
        )(x, token_valid, question, question_valid)
        logits: jax.Array = WordPredictor(self.dtype, name="word_predictor")(x, words.embedding)
        return logits


def answer_decoder_params(
    text: Mapping[str, Any], fusion: Mapping[str, Any], word_predictor: Mapping[str, Any]
) -> dict[str, Any]:
    """First parameters of an `AnswerDecoder`: those of a pre-trained text side.

    Args:
      text: of a `BertEncoder`, which gives the embeddings; its max_length and width are the
        decoder's.
      fusion: of a `BertFusion` of the decoder's depth, which gives the layers.
      word_predictor: of the `WordPredictor`.

    Returns:
      The tree of the decoder, of the same arrays.

    Raises:
      ValueError: the fusion attends to features of another width than those of a question.
    """
    width = text["tokens"]["embedding"].shape[1]
    attended = fusion["layers"]["cross_attention"]["key"]["kernel"].shape[-2]
    if attended != width:
        raise ValueError(
            f"answer decoder: the fusion attends to image features of width {attended}, questions "
            f"have {width}; wanted one width. Start the decoder from fresh parameters instead."
        )
    embeddings = {name: text[name] for name in ("tokens", "positions", "types", "norm")}
    return {**embeddings, "layers": fusion["layers"], "word_predictor": word_predictor}
