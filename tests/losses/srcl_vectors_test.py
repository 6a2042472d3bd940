"""SRCL's twelve cases: losses, weights and gradients, dense and streamed."""

from functools import cache
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tvdim_jax import losses
from tvdim_jax.losses import pairwise

VECTORS = Path(__file__).parents[1] / "data" / "srcl.npz"
NORMS = ["ratio", "softmax", "power"]
GRADIENTS = {"grad_stopgrad": False, "grad_through": True}
RAW = ["image", "text", "teacher_image", "teacher_text"]


@cache
def vectors():
    with np.load(VECTORS, allow_pickle=False) as arrays:
        return {name: arrays[name] for name in arrays.files}


CASES = sorted({name.split("/")[0] for name in vectors()})


def of_case(case):
    prefix = f"{case}/"
    return {k.removeprefix(prefix): v for k, v in vectors().items() if k.startswith(prefix)}


def unit_norm(features):
    return features / jnp.linalg.norm(features, axis=-1, keepdims=True)


def critic(_, x, y):
    """Cosines of the students and of the teachers; the student's serve as similarity too."""
    students = unit_norm(x["student"]) @ unit_norm(y["student"]).T
    return students, students, unit_norm(x["teacher"]) @ unit_norm(y["teacher"]).T


def options_of(arrays):
    masks = {}
    if "in/ids" in arrays:
        masks = {"x_group_id": arrays["in/ids"], "y_group_id": arrays["in/ids"]}
    norm, delta = NORMS[int(arrays["in/norm"])], float(arrays["in/delta"])
    return {"norm": norm, "delta": delta}, masks


def features_of(arrays, dtype):
    return {name: jnp.asarray(arrays[f"in/{name}"], dtype) for name in RAW}


def directions(raw, arrays):
    """Anchors and candidates of both directions; the queue's features join the candidates."""
    for anchor, other in [("image", "text"), ("text", "image")]:
        sides = [
            {"student": raw[side], "teacher": raw[f"teacher_{side}"]} for side in (anchor, other)
        ]
        if f"in/queue_{other}" in arrays:
            queue = {
                "student": arrays[f"in/queue_{other}"],
                "teacher": arrays[f"in/queue_teacher_{other}"],
            }
            sides[1] = {
                who: jnp.concatenate([sides[1][who], queue[who].astype(sides[1][who].dtype)])
                for who in queue
            }
        yield sides


def loss_mean(raw, tau, arrays, *, block_size, through):
    """Mean of the directions: in one call where both have the same pairs."""
    options, masks = options_of(arrays)
    options |= {"temperature": tau, "teacher_share": arrays["in/alpha"].astype(tau.dtype)}
    options |= {"weight_gradient": through, **masks}
    both = list(directions(raw, arrays))
    symmetric = "in/queue_text" not in arrays
    values = []
    for x, y in both[:1] if symmetric else both:
        if block_size is None:
            scores = critic((), x, y)
            value = losses.similarity_regulated_loss(*scores, symmetric=symmetric, **options)
        else:
            value = pairwise.similarity_regulated_loss(
                critic, x, y, block_size=block_size, symmetric=symmetric, **options
            )
        values.append(value)
    return sum(values) / len(values)


def check(case, dtype, *, block_size, value, gradient, tau_gradient):
    """Compares value and gradients by the raw features and tau, with and without the weights'."""
    arrays = of_case(case)
    raw, tau = features_of(arrays, dtype), jnp.asarray(arrays["in/tau"], dtype)

    @jax.jit
    def both(raw, tau):
        def loss(raw, tau, through):
            return loss_mean(raw, tau, arrays, block_size=block_size, through=through)

        function = jax.value_and_grad(loss, (0, 1))
        return {kind: function(raw, tau, through) for kind, through in GRADIENTS.items()}

    for kind, (got, (by_raw, by_tau)) in jax.device_get(both(raw, tau)).items():
        np.testing.assert_allclose(got, arrays["loss_mean"], **value, err_msg=kind)
        for name in ("image", "text"):
            expected = arrays[f"{kind}/{name}"]
            scale = gradient * np.abs(expected).max() + 1e-12
            np.testing.assert_allclose(by_raw[name], expected, rtol=0, atol=scale, err_msg=kind)
            assert not np.any(by_raw[f"teacher_{name}"]), "the teacher is never taught"
        expected = arrays[f"{kind}/tau"]
        np.testing.assert_allclose(
            by_tau, expected, rtol=tau_gradient, atol=1e-12, err_msg=f"{kind} by tau"
        )


@pytest.mark.parametrize("block_size", [None, 3])
@pytest.mark.parametrize("case", CASES)
def test_loss_and_gradients_in_float64(x64, case, block_size):
    value = {"rtol": 1e-9, "atol": 1e-12}
    check(case, "float64", block_size=block_size, value=value, gradient=1e-9, tau_gradient=1e-9)


@pytest.mark.parametrize("case", CASES)
def test_loss_and_gradients_in_float32(case):
    value = {"rtol": 1e-5, "atol": 5e-6}
    check(case, "float32", block_size=3, value=value, gradient=1e-5, tau_gradient=1e-4)


@pytest.mark.parametrize("case", CASES)
def test_weights_and_each_direction(x64, case):
    arrays = of_case(case)
    options, _ = options_of(arrays)
    tau, share = float(arrays["in/tau"]), float(arrays["in/alpha"])
    raw = features_of(arrays, "float64")
    where = arrays["negatives"] | np.eye(*arrays["negatives"].shape, dtype=bool)

    @jax.jit
    def of_direction(scores, closeness):
        def loss(student, similarity, teacher):
            return losses.similarity_regulated_loss(
                student, similarity, teacher, temperature=tau, teacher_share=share,
                symmetric=False, where=where, **options,
            )  # fmt: skip

        weights = losses.similarity_weights(jnp.log(closeness), where=where, **options)
        plain = losses.info_nce_loss(scores[0], temperature=tau, symmetric=False, where=where)
        return weights, plain, jax.value_and_grad(loss)(*scores)

    for name, sides in zip(("i2t", "t2i"), directions(raw, arrays), strict=True):
        scores = critic((), *sides)
        weights, plain, (value, gradient) = of_direction(scores, arrays[f"s_{name}"])
        np.testing.assert_allclose(weights, arrays[f"w_{name}"], rtol=1e-9, atol=1e-12)
        assert np.all(np.asarray(weights)[~arrays["negatives"]] == 0)
        np.testing.assert_allclose(plain, arrays[f"infonce_{name}"], rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(value, arrays[f"loss_{name}"], rtol=1e-9, atol=1e-12)
        expected = arrays[f"grad_stopgrad/sim_{name}"]
        scale = 1e-9 * np.abs(expected).max() + 1e-12
        np.testing.assert_allclose(gradient, expected, rtol=0, atol=scale)


def test_weights_in_float32():
    for case in CASES:
        arrays = of_case(case)
        options, _ = options_of(arrays)
        for name in ("i2t", "t2i"):
            where = arrays["negatives"] | np.eye(*arrays["negatives"].shape, dtype=bool)
            similarity = np.log(arrays[f"s_{name}"]).astype(np.float32)
            got = losses.similarity_weights(similarity, where=where, **options)
            np.testing.assert_allclose(got, arrays[f"w_{name}"], rtol=1e-6, atol=1e-6, err_msg=case)
