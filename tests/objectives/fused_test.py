"""Matching and hidden words against loops with linear nets."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.reference.linear_pairs import VOCABULARY, inputs, make_apply
from tests.reference.losses import quick_jit
from tvdim_jax.features import Features
from tvdim_jax.losses.matching import MaskedTokens
from tvdim_jax.objectives import fused
from tvdim_jax.objectives.embeddings import encode
from tvdim_jax.objectives.fused import WordTeacher, image_tokens, matching_term, word_term

KEY = jax.random.key(5)
APPLY = make_apply()


@quick_jit
def encoded_of(params, variables, batch):
    return encode(params, variables, batch, apply=APPLY, train=True, key=KEY)[0]


def test_image_tokens_begin_with_the_whole():
    rng = np.random.default_rng(0)
    whole, grid = rng.normal(size=(2, 5)), rng.normal(size=(2, 3, 3, 5))
    tokens = image_tokens(Features(jnp.asarray(whole), {3: jnp.asarray(grid)}))
    assert tokens.shape == (2, 10, 5)
    np.testing.assert_allclose(tokens[:, 0], whole, rtol=1e-6)
    np.testing.assert_allclose(tokens[:, 1:], grid.reshape(2, 9, 5), rtol=1e-6)


@pytest.mark.parametrize("maps", [{}, {3: (3, 3, 4)}, {3: (3, 3, 5), 5: (5, 5, 5)}])
def test_an_encoder_without_tokens_is_refused(maps):
    local = {name: jnp.zeros((2, *shape)) for name, shape in maps.items()}
    with pytest.raises(ValueError, match="wanted one map, as wide as the vectors"):
        image_tokens(Features(jnp.zeros((2, 5)), local))


def log_softmax(logits):
    logits = np.asarray(logits, np.float64)
    return logits - np.log(np.sum(np.exp(logits), axis=-1, keepdims=True))


def matching_by_loop(params, batch, encoded, places):
    """Loss and accuracy of the pairs of each row; places are in the whole batch."""
    rows = [
        [(i, i, 1), (i, int(places["image"][i]), 0), (int(places["text"][i]), i, 0)]
        for i in range(len(batch["where"]))
    ]
    texts, images, labels = np.array(rows).reshape(-1, 3).T
    fused_pairs = APPLY.fusion(
        params,
        encoded.text.local_features["tokens"][texts],
        batch["token_valid"][texts],
        image_tokens(encoded.image)[images],
        train=True,
        key=None,
    )
    logits = log_softmax(APPLY.matching(params, fused_pairs.global_features))
    losses = [-logits[k, label] for k, label in enumerate(labels)]
    return np.mean(losses), np.mean(np.argmax(logits, axis=1) == labels)


def test_matching_equals_the_loop_over_what_was_drawn(monkeypatch):
    params, variables, batch = inputs()
    batch["image_id"] = np.array([0, 0, 1, 2, 3, 4], np.int32)
    encoded = encoded_of(params, variables, batch)
    draw = fused.draw_negatives

    @quick_jit
    def run(encoded):
        kept = []
        keep = lambda *arguments: kept.append(draw(*arguments)) or kept[-1]  # noqa: E731
        monkeypatch.setattr(fused, "draw_negatives", keep)
        options = {"apply": APPLY, "temperature": jnp.float32(0.3), "group_size": 3, "key": KEY}
        return *matching_term(params, batch, encoded, **options), kept

    loss, metrics, kept = run(encoded)
    first = np.repeat([0, 3], 3)
    assert all(np.all(found) for _, found in kept)
    places = {
        name: np.ravel(place) + first
        for name, (place, _) in zip(("text", "image"), kept, strict=True)
    }
    for place in places.values():
        assert np.all(place // 3 == np.arange(6) // 3)  # of its own group
        assert np.all(batch["image_id"][place] != batch["image_id"])
    expected = matching_by_loop(params, batch, encoded, places)
    np.testing.assert_allclose(loss, expected[0], rtol=1e-5)
    np.testing.assert_allclose(metrics["train/matching_accuracy"], expected[1], rtol=1e-6)
    np.testing.assert_array_equal(metrics["train/matching_loss"], loss)


def test_a_small_batch_is_one_group_and_draws_the_likeliest_most():
    params, variables, batch = inputs()
    encoded = encoded_of(params, variables, batch)
    sides = encoded.sides
    places, found = quick_jit(fused._drawn, static_argnums=1)(sides, 6, jnp.float32(1e-4), KEY)
    assert np.all(found["image"] & found["text"])
    cosines = np.asarray(sides["image"]["embedding"] @ sides["text"]["embedding"].T) - 9 * np.eye(6)
    assert places["text"].tolist() == [np.argmax(cosines, axis=1).tolist()]
    assert places["image"].tolist() == [np.argmax(cosines, axis=0).tolist()]

    @quick_jit
    def losses(encoded):
        options = {"apply": APPLY, "temperature": jnp.float32(1e-4), "key": KEY}
        return [
            matching_term(params, batch, encoded, group_size=size, **options)[0] for size in (64, 6)
        ]

    large, small = losses(encoded)
    assert float(large) == float(small)


def test_words_equal_the_loop():
    params, variables, batch = inputs()
    batch["text_id"][4] = -1
    batch["where"][5] = False
    rng = np.random.default_rng(3)
    masked = batch["token_valid"] & (rng.random(batch["token_ids"].shape) < 0.5)
    hidden = np.where(masked, 1, batch["token_ids"]).astype(np.int32)
    slow = jax.tree.map(lambda leaf: 0.5 * leaf, params)
    encoded = encoded_of(params, variables, batch)
    images = image_tokens(encoded.image)

    def mask(key, token_ids, token_valid):
        np.testing.assert_array_equal(token_ids, batch["token_ids"])
        np.testing.assert_array_equal(token_valid, batch["token_valid"])
        return MaskedTokens(jnp.asarray(hidden), jnp.asarray(masked))

    loss, metrics = word_term(
        params, variables, batch, images, apply=APPLY, mask=mask, key=KEY,
        teacher=WordTeacher(slow, 2 * images, jnp.float32(0.25)),
    )  # fmt: skip

    def log_probs(params, images):
        vectors = params["tokens"][hidden] * batch["token_valid"][:, :, None]
        return log_softmax(APPLY.words(params, APPLY.fusion(
            params, vectors, batch["token_valid"], images, train=True, key=None
        ).local_features["tokens"]))  # fmt: skip

    ours, theirs = log_probs(params, images), log_probs(slow, 2 * images)
    hard, soft, right = [], [], []
    for i, j in zip(*np.nonzero(masked), strict=True):
        if i < 4:
            hard.append(-ours[i, j, batch["token_ids"][i, j]])
            soft.append(-np.sum(np.exp(theirs[i, j]) * ours[i, j]))
            right.append(np.argmax(ours[i, j]) == batch["token_ids"][i, j])
    np.testing.assert_allclose(metrics["train/word_loss"], np.mean(hard), rtol=1e-5)
    np.testing.assert_allclose(metrics["train/word_distillation_loss"], np.mean(soft), rtol=1e-5)
    np.testing.assert_allclose(metrics["train/word_accuracy"], np.mean(right), rtol=1e-6)
    np.testing.assert_allclose(loss, 0.75 * np.mean(hard) + 0.25 * np.mean(soft), rtol=1e-5)
    assert ours.shape[-1] == VOCABULARY


@pytest.mark.parametrize("size", [0, 4])
def test_groups_that_do_not_divide_the_batch_say_so(size):
    params, variables, batch = inputs()
    encoded = encoded_of(params, variables, batch)
    with pytest.raises(ValueError, match=f"group_size: got {size} for a batch of 6"):
        matching_term(
            params, batch, encoded, apply=APPLY, temperature=0.3, group_size=size, key=KEY
        )
