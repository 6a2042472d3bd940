"""SRCL's twelve cases: losses, weights and gradients, dense and streamed."""

from functools import cache, partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.reference.losses import quick_jit
from tvdim_jax import losses
from tvdim_jax.losses import pairwise
from tvdim_jax.losses.similarity_regulated import linear_teacher_share

VECTORS = Path(__file__).parents[1] / "data" / "srcl.npz"
NORMS = ["ratio", "softmax", "power"]
GRADIENTS = {"grad_stopgrad": False, "grad_through": True}


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


def inputs_of(arrays, dtype):
    """All arrays of a case; ids that are all different where the case has none."""
    given = {k.removeprefix("in/"): v for k, v in arrays.items() if k.startswith("in/")}
    inputs = {k: v.astype(dtype) for k, v in given.items() if k not in ("ids", "norm", "delta")}
    return inputs | {"ids": given.get("ids", np.arange(len(given["image"])))}


def settings_of(arrays):
    return NORMS[int(arrays["in/norm"])], float(arrays["in/delta"])


def directions(inputs):
    """Anchors, candidates and mask words of both directions; the queue joins the candidates."""
    for anchor, other in [("image", "text"), ("text", "image")]:
        x = {"student": inputs[anchor], "teacher": inputs[f"teacher_{anchor}"]}
        y = {"student": inputs[other], "teacher": inputs[f"teacher_{other}"]}
        ids = inputs["ids"]
        masks = {"x_group_id": ids, "y_group_id": ids}
        if f"queue_{other}" in inputs:
            queue = {"student": f"queue_{other}", "teacher": f"queue_teacher_{other}"}
            y = {who: jnp.concatenate([y[who], inputs[name]]) for who, name in queue.items()}
            nobody = jnp.full(len(y["student"]) - len(ids), -1)
            masks["y_group_id"] = jnp.concatenate([ids, nobody])
        yield x, y, masks


@partial(quick_jit, static_argnums=(1, 2, 3))
def losses_and_gradients(inputs, norm, delta, block_size):
    """The mean of the directions, in one call where both have the same pairs, and gradients."""

    def loss(inputs, through):
        options = {"norm": norm, "delta": delta, "weight_gradient": through}
        options |= {"temperature": inputs["tau"], "teacher_share": inputs["alpha"]}
        options["symmetric"] = symmetric = "queue_text" not in inputs
        values = []
        for x, y, masks in list(directions(inputs))[: 1 if symmetric else 2]:
            if block_size is None:
                value = losses.similarity_regulated_loss(*critic((), x, y), **options, **masks)
            else:
                value = pairwise.similarity_regulated_loss(
                    critic, x, y, block_size=block_size, **options, **masks
                )
            values.append(value)
        return sum(values) / len(values)

    function = jax.value_and_grad(loss, allow_int=True)
    return {kind: function(inputs, through) for kind, through in GRADIENTS.items()}


def check(case, dtype, *, block_size, value, gradient, tau_gradient):
    """Value and gradients by raw features and tau, with and without those of the weights."""
    arrays = of_case(case)
    found = losses_and_gradients(inputs_of(arrays, dtype), *settings_of(arrays), block_size)
    for kind, (got, gradients) in found.items():
        np.testing.assert_allclose(got, arrays["loss_mean"], **value, err_msg=kind)
        for name in ("image", "text"):
            expected = arrays[f"{kind}/{name}"]
            atol = gradient * np.abs(expected).max() + 1e-12
            by = gradients[name]
            np.testing.assert_allclose(by, expected, rtol=0, atol=atol, err_msg=f"{kind} {name}")
            assert not np.any(gradients[f"teacher_{name}"]), "the teacher is never taught"
        np.testing.assert_allclose(
            gradients["tau"], arrays[f"{kind}/tau"], rtol=tau_gradient, atol=1e-12, err_msg=kind
        )


@pytest.mark.parametrize("block_size", [None, pytest.param(3, marks=pytest.mark.slow)])
@pytest.mark.parametrize("case", CASES)
def test_loss_and_gradients_in_float64(x64, case, block_size):
    value = {"rtol": 1e-9, "atol": 1e-12}
    check(case, "float64", block_size=block_size, value=value, gradient=1e-9, tau_gradient=1e-9)


@pytest.mark.parametrize("case", CASES)
def test_loss_and_gradients_in_float32(case):
    value = {"rtol": 1e-5, "atol": 5e-6}
    check(case, "float32", block_size=3, value=value, gradient=1e-5, tau_gradient=1e-4)


@partial(quick_jit, static_argnums=(2, 3))
def of_each_direction(inputs, closeness, norm, delta):
    """Weights, InfoNCE, the loss of each direction and its gradient by the student's scores."""
    found = []
    for (x, y, masks), s in zip(directions(inputs), closeness, strict=True):

        def loss(student, similarity, teacher, masks=masks):
            return losses.similarity_regulated_loss(
                student, similarity, teacher, temperature=inputs["tau"], symmetric=False,
                teacher_share=inputs["alpha"], norm=norm, delta=delta, **masks,
            )  # fmt: skip

        scores = critic((), x, y)
        weights = losses.similarity_weights(jnp.log(s), norm=norm, delta=delta, **masks)
        plain = losses.info_nce_loss(scores[0], temperature=inputs["tau"], symmetric=False, **masks)
        found.append((weights, plain, *jax.value_and_grad(loss)(*scores)))
    return found


@pytest.mark.parametrize("case", CASES)
def test_weights_and_each_direction(x64, case):
    arrays = of_case(case)
    closeness = arrays["s_i2t"], arrays["s_t2i"]
    found = of_each_direction(inputs_of(arrays, "float64"), closeness, *settings_of(arrays))
    for name, (weights, plain, value, gradient) in zip(("i2t", "t2i"), found, strict=True):
        np.testing.assert_allclose(weights, arrays[f"w_{name}"], rtol=1e-9, atol=1e-12)
        assert np.all(np.asarray(weights)[~arrays["negatives"]] == 0)
        np.testing.assert_allclose(plain, arrays[f"infonce_{name}"], rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(value, arrays[f"loss_{name}"], rtol=1e-9, atol=1e-12)
        expected = 2 * arrays[f"grad_stopgrad/sim_{name}"]  # that of the mean of the directions
        atol = 1e-9 * np.abs(expected).max() + 1e-12
        np.testing.assert_allclose(gradient, expected, rtol=0, atol=atol)


@partial(quick_jit, static_argnums=(2, 3))
def weights_of(similarity, where, norm, delta):
    return losses.similarity_weights(similarity, norm=norm, delta=delta, where=where)


def test_weights_in_float32():
    for case in CASES:
        arrays = of_case(case)
        where = arrays["negatives"] | np.eye(*arrays["negatives"].shape, dtype=bool)
        similarity = np.log(np.stack([arrays["s_i2t"], arrays["s_t2i"]])).astype(np.float32)
        got = weights_of(similarity, where, *settings_of(arrays))
        for k, name in enumerate(("w_i2t", "w_t2i")):
            np.testing.assert_allclose(got[k], arrays[name], rtol=1e-6, atol=1e-6, err_msg=case)


def test_the_teacher_leaves_along_a_line():
    shares = jax.jit(jax.vmap(lambda step: linear_teacher_share(step, 8)))(np.arange(12))
    np.testing.assert_array_equal(shares, [*(1 - np.arange(9) / 8), 0, 0, 0])
    assert shares.dtype == np.float32
    assert float(linear_teacher_share(2**24 - 1, 2**24)) == np.float32(2**-24)


def test_pairs_in_another_order_are_the_same_pairs(x64):
    rng = np.random.default_rng(5)
    tables, order = rng.uniform(-1, 1, (3, 6, 6)), rng.permutation(6)
    ids = np.array([0, 1, 0, 2, -1, -1])

    @quick_jit
    def run(tables, ids):
        return jax.value_and_grad(
            lambda *tables: losses.similarity_regulated_loss(
                *tables, temperature=0.2, teacher_share=0.5, norm="softmax", delta=5.0,
                x_group_id=ids, y_group_id=ids,
            )
        )(*tables)  # fmt: skip

    value, gradient = run(tables, ids)
    mixed_value, mixed_gradient = run(tables[:, order][:, :, order], ids[order])
    np.testing.assert_allclose(mixed_value, value, rtol=1e-12)
    np.testing.assert_allclose(mixed_gradient, gradient[order][:, order], rtol=1e-10)


def test_identities_of_the_equations(x64):
    rng = np.random.default_rng(0)
    tau, scores, teacher = 0.07, rng.uniform(-1, 1, (5, 6)), rng.uniform(-1, 1, (5, 6))
    negative = ~np.eye(5, 6, dtype=bool)
    other = np.where(negative, teacher, -teacher)  # similarities of positives do not matter

    @quick_jit
    def run(scores, teacher):
        regulated = partial(losses.similarity_regulated_loss, temperature=tau)
        taught = partial(regulated, scores, scores, symmetric=False)
        softened = jnp.where(negative, scores * (1 / tau - 1), scores / tau)
        shift = jnp.log(5 / jnp.sum(jnp.where(negative, jnp.exp(-scores), 0), axis=1))
        softened = jnp.where(negative, softened + shift[:, None], softened)
        equal = [
            # A student alone, ratio weights: InfoNCE with softer negatives, section 4.
            (taught(), losses.info_nce_loss(softened, symmetric=False)),
            # A teacher that says what the student says changes nothing.
            (taught(scores, teacher_share=0.3), taught()),
            (taught(teacher, teacher_share=1.0), taught(other, teacher_share=1.0)),
            # All pairs alike: InfoNCE.
            (
                regulated(scores, jnp.zeros((5, 6)), norm="softmax", delta=5.0),
                losses.info_nce_loss(scores, temperature=tau),
            ),
            (regulated(scores, teacher, delta=7.0), regulated(scores, teacher)),  # ratio only
        ]
        settings = [("ratio", 1.0), ("softmax", 5.0), ("power", 4.0)]
        return equal, [losses.similarity_weights(teacher, norm=n, delta=d) for n, d in settings]

    equal, weights = run(scores, teacher)
    for k, (got, expected) in enumerate(equal):
        np.testing.assert_allclose(got, expected, rtol=1e-12, err_msg=f"identity {k}")
    for each in weights:
        assert np.all((np.asarray(each) > 0) == negative)
        np.testing.assert_allclose(np.sum(each, axis=1) / 5, np.ones(5), rtol=1e-12)
        # The more similar, the lighter.
        order = np.argsort(teacher[0, 1:])
        assert np.all(np.diff(np.asarray(each)[0, 1:][order]) < 0)
