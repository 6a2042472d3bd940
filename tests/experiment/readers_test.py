"""Answers ranked and pairs judged by a tiny model, as its functions give them by hand."""

import jax
import numpy as np

from tests.reference.tiny_run import SRCL, tiny_config
from tvdim_jax.experiment.encoders import make_encoders
from tvdim_jax.experiment.model import make_model
from tvdim_jax.experiment.views import make_plain_view
from tvdim_jax.losses.sequences import sequence_log_likelihood
from tvdim_jax.objectives.fused import image_tokens

RNG = np.random.default_rng(0)
TOKENS = RNG.integers(3, 20, (16, 24)).astype(np.int32)
VALID = np.arange(24) < RNG.integers(2, 24, (16, 1))


def draw(path, leaf):
    """Norms as they start and no biases, so that answers depend on questions."""
    kind = jax.tree_util.keystr(path[-1:])
    if "scale" in kind or "bias" in kind:
        return np.full(leaf.shape, "scale" in kind, np.float32)
    return RNG.normal(0, 0.4, leaf.shape).astype(np.float32)


def open_model(**changes):
    config = tiny_config(**SRCL | changes, eval__batch_size=16)
    model = make_model(config, 20)
    shapes = jax.eval_shape(model.init, jax.random.key(0))
    params, variables = jax.tree_util.tree_map_with_path(draw, shapes)
    return config, model, params, variables


def test_the_first_answer_is_the_likeliest_of_those_with_likely_first_words():
    config, model, params, variables = open_model(objective__name="vqa", data__source="vqa")
    images = RNG.integers(0, 256, (16, 32, 32, 3), dtype=np.uint8)
    batch = {"image": images, "token_ids": TOKENS, "token_valid": VALID}
    answers = np.array([[2, 5, 3, 0], [2, 6, 7, 3], [2, 8, 3, 0], [2, 9, 3, 0], [2, 4, 3, 0]])
    answer_valid = answers > 0
    encoders = make_encoders(config, model, params, variables)
    assert (encoders.fused, encoders.judge) == (None, None)
    best = np.asarray(encoders.rank(batch, answers, answer_valid, 3))
    assert best.shape == (16, 3)

    @jax.jit
    def by_hand(images):
        image, _ = model.image(params, variables, images, train=False, key=None)
        text, _ = model.text(params, variables, TOKENS, VALID, train=False, key=None)
        states = model.fusion(
            params, text.local_features["tokens"], VALID, image_tokens(image), train=False, key=None
        ).local_features["tokens"]
        logits = [
            model.decode(params, np.tile(ids, (16, 1)), np.tile(valid, (16, 1)), states, VALID,
                         train=False, key=None)
            for ids, valid in zip(answers, answer_valid, strict=True)
        ]  # fmt: skip
        whole = [
            sequence_log_likelihood(each, np.tile(ids, (16, 1)), np.tile(valid, (16, 1)))
            for each, ids, valid in zip(logits, answers, answer_valid, strict=True)
        ]
        return jax.nn.log_softmax(logits[0][:, 0])[:, answers[:, 1]], whole

    view = make_plain_view("captions", 32)
    first, whole = by_hand(view(images))
    first, whole = np.asarray(first), np.stack([np.asarray(each) for each in whole], axis=1)
    for row in range(16):
        listed = np.argsort(-first[row])[:3]
        wanted = listed[np.argsort(-whole[row][listed])]
        np.testing.assert_array_equal(best[row], wanted)
    assert len({tuple(row) for row in best.tolist()}) > 1


def test_a_pair_is_judged_with_the_left_image_first():
    config, model, params, variables = open_model(objective__name="nlvr", data__source="nlvr")
    images = RNG.integers(0, 256, (16, 2, 32, 32, 3), dtype=np.uint8)
    encoders = make_encoders(config, model, params, variables)
    assert (encoders.fused, encoders.rank) == (None, None)
    judge = lambda images: np.asarray(  # noqa: E731
        encoders.judge({"image": images, "token_ids": TOKENS, "token_valid": VALID})
    )

    @jax.jit
    def by_hand(left, right):
        sides = [
            image_tokens(model.image(params, variables, each, train=False, key=None)[0])
            for each in (left, right)
        ]
        text, _ = model.text(params, variables, TOKENS, VALID, train=False, key=None)
        fused = model.pair_fusion(
            params, text.local_features["tokens"], VALID, jax.numpy.stack(sides, axis=1),
            train=False, key=None,
        )  # fmt: skip
        return model.pair_head(params, fused.global_features)

    view = make_plain_view("captions", 32)
    got = judge(images)
    np.testing.assert_allclose(
        got, by_hand(view(images[:, 0]), view(images[:, 1])), rtol=1e-4, atol=1e-4
    )
    assert np.abs(judge(images[:, ::-1]) - got).max() > 1e-3
