"""A step of SRCL with all its parts at parity with PyTorch: terms, gradients, average and queue."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import unflatten_dict

from tests.reference.losses import quick_jit
from tests.reference.tiny_srcl import MASK_ID, STEP, VOCABULARY, make_apply, nets
from tvdim_jax.losses.matching import MaskedTokens
from tvdim_jax.objectives import fused, make_srcl_objective, srcl

KEY = jax.random.key(5)


def stored(prefix):
    """The arrays below a prefix, such as "param", as a tree."""
    names = {n.removeprefix(f"{prefix}/"): a for n, a in STEP.items() if n.startswith(f"{prefix}/")}
    return unflatten_dict(names, sep="/")


@pytest.fixture(scope="module")
def step():
    """The stored step by our objective, `(loss, (metrics, variables)), gradient`."""
    draws = MaskedTokens(jnp.asarray(STEP["draw/token_ids"]), jnp.asarray(STEP["draw/masked"]))
    said = stored("teacher")
    apply = make_apply(nets())
    apply.teacher = lambda variables, *inputs: (
        variables["said"]["image"],
        variables["said"]["text"],
    )
    queue = stored("queue") | {"next": np.int32(0)}
    variables = {"average": stored("average"), "queue": queue, "said": said}
    with pytest.MonkeyPatch.context() as patch:
        first = lambda key, logits, allowed: (jnp.argmax(allowed, -1), jnp.any(allowed, -1))  # noqa: E731
        patch.setattr(fused, "draw_negatives", first)
        patch.setattr(srcl, "mask_tokens", lambda *inputs, **options: draws)
        objective = make_srcl_objective(
            vocab_size=VOCABULARY,
            mask_id=MASK_ID,
            norm="softmax",
            delta=3.0,
            teacher_share=0.6,
            matching_group=3,
            average_decay=0.9,
            distillation=0.3,
        )
        loss_of = jax.value_and_grad(partial(objective, apply=apply, key=KEY, step=0), has_aux=True)
        return quick_jit(loss_of)(stored("param"), variables, stored("batch"))


def test_terms_match_torch(step):
    (loss, (metrics, _)), _ = step
    np.testing.assert_allclose(loss, STEP["loss/total"], rtol=1e-5)
    for name, term in {
        "contrast_loss": "contrast",
        "contrast_distillation_loss": "contrast_distillation",
        "matching_loss": "matching",
        "word_loss": "words",
        "word_distillation_loss": "word_distillation",
    }.items():
        np.testing.assert_allclose(metrics[f"train/{name}"], STEP[f"loss/{term}"], rtol=1e-5)
    np.testing.assert_allclose(metrics["train/matching_accuracy"], STEP["accuracy/matching"])
    np.testing.assert_allclose(metrics["train/word_accuracy"], STEP["accuracy/words"])


def test_gradients_match_torch(step):
    _, gradient = step
    for path, expected in jax.tree.leaves_with_path(stored("grad")):
        name = jax.tree_util.keystr(path)
        got = gradient
        for entry in path:
            got = got[entry.key]
        if "['key']['bias']" in name:  # shifts all scores of a row alike: rounding noise
            assert np.abs(got).max() < 1e-4, name
            continue
        atol = 2e-5 * np.abs(expected).max()
        np.testing.assert_allclose(got, expected, rtol=0, atol=atol, err_msg=name)


def test_average_and_queue_move_as_in_torch(step):
    (_, (_, variables)), _ = step
    moved = jax.tree.map(
        lambda old, new: 0.9 * old + 0.1 * new,
        stored("average"),
        {name: stored("param")[name] for name in stored("average")},
    )
    jax.tree.map(
        partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-6), variables["average"], moved
    )
    for name in ("image", "text"):
        side = variables["queue"][name]
        np.testing.assert_allclose(side["embedding"], STEP[f"momentum/{name}"], atol=1e-5)
        assert side["group_id"].tolist() == [
            list(pair) for pair in zip(STEP["batch/image_id"], STEP["batch/text_id"], strict=True)
        ]
    assert variables["queue"]["text"]["where"].tolist() == [True] * 4 + [False] * 2
    assert variables["said"].keys() == {"image", "text"}
