"""The contrast with a queue against loops over all candidates, and what it refuses."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType

from tests.reference import numpy_losses, numpy_srcl
from tests.reference.losses import quick_jit
from tvdim_jax.objectives.contrast import Regulation, check_regulation, contrast

B, Q, TAU = 8, 16, 0.2
SOFTMAX = Regulation("similarity_regulated", "softmax", 4.0, False, 0.7, 0)


def unit(rng, *shape):
    vectors = rng.normal(size=shape)
    return (vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)).astype(np.float32)


def side(rng, num):
    return {
        "embedding": unit(rng, num, 5),
        "teacher": unit(rng, num, 3),
        "momentum": unit(rng, num, 5),
        "where": rng.random(num) < 0.8,
        "group_id": rng.integers(-1, 9, (num, 2)).astype(np.int32),
    }


def inputs(seed=0):
    """Sides and a queue, whose groups are those of the pairs."""
    rng = np.random.default_rng(seed)
    found = []
    for num in (B, Q):
        sides = {name: side(rng, num) for name in ("image", "text")}
        sides["text"]["group_id"] = sides["image"]["group_id"]
        found.append(sides)
    for each in found[1].values():
        del each["momentum"]
    return found[0], found[1] | {"next": np.int32(0)}


def by_loop(loss, guides, sides, queue):
    """Mean of both directions over batch and queue: `loss(*tables, **words)`."""
    values = []
    for anchor, other in [("image", "text"), ("text", "image")]:
        x, y = sides[anchor], dict(sides[other])
        past = queue[other] | {"momentum": queue[other]["embedding"]}
        y = {name: np.concatenate([y[name], past[name]]) for name in y}
        tables = [np.float64(x[name]) @ np.float64(y[name]).T for name in ("embedding", *guides)]
        words = {f"x_{word}": x[word] for word in ("where", "group_id")}
        words |= {f"y_{word}": y[word] for word in ("where", "group_id")}
        values.append(loss(*tables, temperature=TAU, symmetric=False, **words))
    return np.mean(values)


def regulated(scores, teacher, **options):
    return numpy_srcl.similarity_regulated_loss(
        scores, scores, teacher, teacher_share=0.7, norm="softmax", delta=4.0, **options
    )


def run_on(mesh, regulation, sides, queue, **options):
    def loss_of(temperature, embeddings):
        given = {name: sides[name] | {"embedding": embeddings[name]} for name in sides}
        return contrast(
            regulation, given, queue, temperature=temperature, step=0, mesh=mesh, **options
        )

    embeddings = {name: sides[name]["embedding"] for name in sides}
    differentiated = jax.value_and_grad(loss_of, (0, 1), has_aux=True)
    return quick_jit(differentiated)(jnp.float32(TAU), embeddings)


def test_queue_teacher_and_distillation_equal_the_loop_on_one_and_eight_devices():
    sides, queue = inputs()
    hard = by_loop(regulated, ["teacher"], sides, queue)
    soft = by_loop(numpy_losses.distillation_loss, ["momentum"], sides, queue)
    mesh = jax.make_mesh((8,), ("data",), axis_types=(AxisType.Auto,))
    found = []
    for on in (None, mesh):
        (loss, metrics), gradient = run_on(on, SOFTMAX, sides, queue, distillation=jnp.float32(0.3))
        np.testing.assert_allclose(metrics["train/contrast_loss"], hard, rtol=1e-5)
        np.testing.assert_allclose(metrics["train/contrast_distillation_loss"], soft, rtol=1e-5)
        np.testing.assert_allclose(loss, 0.7 * hard + 0.3 * soft, rtol=1e-5)
        found.append((metrics, gradient))
    jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-6), *found)


def test_without_guide_the_queue_is_more_candidates():
    sides, queue = inputs(1)
    expected = by_loop(numpy_losses.info_nce_loss, [], sides, queue)
    plain = Regulation("info_nce", "ratio", 1.0, False, 0.0, 0)
    (loss, metrics), gradient = run_on(None, plain, sides, queue)
    np.testing.assert_allclose(loss, expected, rtol=1e-5)
    assert not any("teacher" in name or "weight" in name for name in metrics)
    assert float(gradient[0]) != 0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"pair_loss": "sigmoid"}, "pair_loss: got 'sigmoid', wanted one of info_nce, similarity"),
        ({"norm": "min"}, "norm: got 'min'"),
        ({"teacher_share": -0.1}, r"teacher_share: got -0.1, wanted 0\.\.1"),
        ({"teacher_steps": -5}, "teacher_steps: got -5, wanted at least 0"),
        ({"pair_loss": "info_nce"}, "teacher_share: got 0.7 with pair_loss 'info_nce', wanted 0"),
    ],
)
def test_what_is_out_of_range_says_so(changes, message):
    with pytest.raises(ValueError, match=message):
        check_regulation(SOFTMAX._replace(**changes))


def test_the_share_is_a_function_of_the_step():
    falling = SOFTMAX._replace(teacher_steps=10)
    shares = [float(falling.share(step)) for step in (0, 5, 10, 20)]
    np.testing.assert_allclose(shares, [0.7, 0.35, 0, 0], rtol=1e-6)
    assert SOFTMAX.share(1000) == 0.7
