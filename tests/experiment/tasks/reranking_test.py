"""Re-ranking by a planted matching head: which candidates it is asked for, and what it changes."""

import numpy as np
import pytest

from tests.reference.label_table import ENCODERS, TOKENIZER, Table, embed_number, numbers
from tests.reference.tiny_run import SRCL, tiny_config
from tvdim_jax.experiment.data import Splits
from tvdim_jax.experiment.encoders import Fused
from tvdim_jax.experiment.tasks import Context, Images
from tvdim_jax.experiment.tasks.reranking import RERANKING

SIZE = 24
CAPTIONED = Table(SIZE, captions=numbers(SIZE))
SPLITS = Splits(Table(1), CAPTIONED)


def read_tokens(batch):
    """The token ids themselves, as states of width 1."""
    return batch["token_ids"][..., None].astype(np.float32)


def match(tokens, valid, images):
    """0 for a pair that belongs together, below that for others."""
    assert valid[:, :3].all()  # [CLS] and two digits
    digits = tokens[:, 1:3, 0] - 3
    return -np.abs(10 * digits[:, 0] + digits[:, 1] - images[:, 0, 0])


def context_of(config, match=match):
    """Cosines that see a wheel of levels, shifted by one step: the true partner is second best."""
    levels = np.arange(SIZE, dtype=np.float32)
    angle = (levels + 1.0) * (2 * np.pi / 40)
    wheel = np.stack([np.cos(angle), np.sin(angle), np.ones_like(angle)], -1)
    features = {"embedding": 3 * wheel, "image_tokens": levels[:, None, None]}
    encoders = ENCODERS._replace(text=embed_number, fused=Fused(read_tokens, match))
    nothing = Images(np.arange(0), {})
    test = Images(np.arange(SIZE), features)
    return Context(config, SPLITS, nothing, test, encoders, TOKENIZER)


def test_the_matching_head_puts_the_list_in_order():
    result, examples, _ = RERANKING.run(context_of(tiny_config(**SRCL, eval__num_reranked=4)))
    metrics = result["metrics"]
    assert list(examples) == ["image to text, re-ranked", "text to image, re-ranked"]
    assert all(each.scores.all() for each in examples.values())
    assert result["note"].startswith("24 images and 24 texts, the 4 best by cosine ordered anew")
    # The nearest is the neighbour, but at one end of the wheel, where there is none.
    assert metrics["image_to_text_R@1"] == pytest.approx(1 / SIZE)
    assert metrics["text_to_image_R@1"] == pytest.approx(1 / SIZE)
    assert metrics["reranked_image_to_text_R@1"] == metrics["reranked_text_to_image_R@1"] == 1
    assert result["details"]["by cosine"]["image_to_text_R@1"] == metrics["image_to_text_R@1"]
    assert result["details"]["re-ranked"]["image_to_text_R@1"] == 1
    assert (result["num_images"], result["num_texts"], result["num_reranked"]) == (SIZE, SIZE, 4)


def test_a_list_of_one_leaves_the_cosines_as_they_are():
    outcome = RERANKING.run(context_of(tiny_config(**SRCL, eval__num_reranked=1)))
    assert outcome.result["metrics"]["reranked_text_to_image_R@1"] == pytest.approx(1 / SIZE)
    hits = outcome.examples["text to image, re-ranked"].scores
    assert hits.mean(axis=0) == pytest.approx([1 / SIZE] * 3)


def test_a_head_that_prefers_wrong_pairs_is_seen():
    context = context_of(tiny_config(**SRCL, eval__num_reranked=4), lambda *pair: -match(*pair))
    assert RERANKING.run(context).result["metrics"]["reranked_image_to_text_R@1"] == 0


def test_other_objectives_have_no_matching_head():
    assert RERANKING.missing(tiny_config(), SPLITS) == "a run of tvdim has no matching head"
    assert RERANKING.missing(tiny_config(**SRCL), SPLITS) is None
    blank = Splits(CAPTIONED, Table(3))
    assert RERANKING.missing(tiny_config(**SRCL), blank) == "the test part of table has no texts"
    context = context_of(tiny_config(**SRCL))
    with pytest.raises(ValueError, match="re-ranking needs a matching head; leave the task out"):
        RERANKING.run(context._replace(encoders=ENCODERS))
