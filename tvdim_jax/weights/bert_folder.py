"""What a BERT folder says beside its weights: sizes (config.json) and vocabulary (vocab.txt)."""

import json
from pathlib import Path
from typing import Any, NamedTuple

_SIZES = {
    "vocab_size": "vocab_size",
    "width": "hidden_size",
    "depth": "num_hidden_layers",
    "num_heads": "num_attention_heads",
    "mlp_width": "intermediate_size",
    "max_length": "max_position_embeddings",
}
# What our layers do; a config without the entry means the same.
_FIXED = {
    "model_type": "bert",
    "hidden_act": "gelu",
    "layer_norm_eps": 1e-12,
    "position_embedding_type": "absolute",
}


class Vocabulary(NamedTuple):
    """What a tokenizer needs to know.

    Attributes:
      path: of vocab.txt.
      lower_case: True = lower the letters and strip accents first.
      remark: where lower_case comes from.
    """

    path: Path
    lower_case: bool
    remark: str


def bert_options(folder: str | Path) -> dict[str, int]:
    """Sizes of the BERT in a folder: `BertEncoder(**bert_options(folder))`.

    Args:
      folder: holds Hugging Face's config.json.

    Returns:
      vocab_size, width, depth, num_heads, mlp_width, max_length.

    Raises:
      ValueError: no readable config.json, not a BERT, or one with another activation, another
        epsilon of the layer norms or other positions.
    """
    path = Path(folder) / "config.json"
    config = _read(path)
    for name, wanted in _FIXED.items():
        if config.get(name, wanted) != wanted:
            raise ValueError(
                f"weights: {str(path)!r} says {name} = {config[name]!r}; wanted {wanted!r}, the "
                "only one that BertEncoder knows. Choose another model."
            )
    sizes = {}
    for ours, theirs in _SIZES.items():
        size = config.get(theirs)
        if type(size) is not int or size < 1:
            raise ValueError(
                f"weights: {str(path)!r} says {theirs} = {size!r}; wanted a positive whole number. "
                "Give the folder of a BERT."
            )
        sizes[ours] = size
    return sizes


def bert_vocabulary(folder: str | Path, *, lower_case: bool | None = None) -> Vocabulary:
    """The vocabulary of the BERT in a folder, and whether it is cased.

    Args:
      folder: holds vocab.txt.
      lower_case: None takes `do_lower_case` from tokenizer_config.json; without it, a vocabulary
        with capital letters is a cased one. (Tools that lower by default ruin a cased BERT.)

    Returns:
      The arguments of tokenizer_from_vocab.

    Raises:
      ValueError: no vocab.txt in UTF-8, or a tokenizer_config.json that cannot be read.
    """
    path = Path(folder) / "vocab.txt"
    try:
        tokens = path.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(
            f"weights: got {str(path)!r} ({error}); wanted a text file with one token a line; "
            "download the vocab.txt of the model"
        ) from error
    if lower_case is not None:
        return Vocabulary(path, lower_case, "lower_case as asked for")
    config = Path(folder) / "tokenizer_config.json"
    said = _read(config).get("do_lower_case") if config.exists() else None
    if isinstance(said, bool):
        return Vocabulary(path, said, f"do_lower_case is {said} in tokenizer_config.json")
    capitals = sum(token != token.lower() for token in tokens if not token.startswith("["))
    remark = f"no do_lower_case in the folder; {capitals} tokens of vocab.txt have capitals"
    return Vocabulary(path, not capitals, remark)


def _read(path: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError, RecursionError) as error:
        raise ValueError(
            f"weights: got {str(path)!r} ({type(error).__name__} {error}); wanted a JSON object; "
            "download it again"
        ) from error
