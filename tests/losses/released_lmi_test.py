"""The LMI release's numbers: its losses on logits, through its critic, and on local features."""

from functools import cache, partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.reference.losses import quick_jit
from tvdim_jax import losses
from tvdim_jax.losses import pairwise

VECTORS = Path(__file__).parents[1] / "data" / "lmi_losses.npz"
# The release minimises "dv"; what it calls "infonce" is another constant away from the same thing.
RELEASED = {"dv": ("donsker_varadhan_lower_bound", -1), "infonce": ("released_lmi_infonce_loss", 1)}
WEIGHTS = ["W0", "b0", "W1", "b1", "W2", "b2"]


@cache
def vectors():
    with np.load(VECTORS, allow_pickle=False) as arrays:
        return {name: arrays[name] for name in arrays.files}


def of_case(case):
    prefix = f"{case}/"
    return {k.removeprefix(prefix): v for k, v in vectors().items() if k.startswith(prefix)}


def released(kind, critic, features, masks, block_size):
    """The minimised loss of (params, x, y), dense where there is no block size."""
    name, sign = RELEASED[kind]
    params, x, y = features
    if block_size is None:
        return sign * getattr(losses, name)(critic(params, x, y), **masks)
    function = getattr(pairwise, name)
    return sign * function(critic, x, y, params=params, block_size=block_size, **masks)


def look_up(_, rows, columns):
    """The critic of scores that exist: rows of them and the columns of a tile."""
    return rows[:, columns]


def close_gradient(got, expected, name):
    # The second term: float32 sums of terms of about 1 that cancel.
    atol = 1e-5 * np.abs(expected).max() + 5e-7
    np.testing.assert_allclose(got, expected, rtol=0, atol=atol, err_msg=name)


def score_matrix(logits, num_pos):
    """Logits as the release lists them -> scores, where they lie, and study ids.

    Positives first, then for g = 1.. and i = 0.. the pair (i, i + g) unless of one study. A loss of
    all negatives does not see which two items share a study: here the first two, where any do.
    """
    ids = np.arange(num_pos)
    if len(logits) < num_pos**2:
        ids[1] = ids[0]
    shifts = [(i, (i + g) % num_pos) for g in range(1, num_pos) for i in range(num_pos)]
    pairs = [(i, i) for i in range(num_pos)] + [(i, j) for i, j in shifts if ids[i] != ids[j]]
    place = tuple(np.array(pairs).T)
    scores = np.full((num_pos, num_pos), 7.0, np.float32)
    scores[place] = logits[:, 0]
    return scores, place, ids


@partial(quick_jit, static_argnums=(2,))
def losses_of_scores(scores, ids, block_size):
    """Value and gradient of both losses; ids are those of the studies."""
    masks = {"x_group_id": ids, "y_group_id": ids}

    def loss(scores, kind):
        return released(kind, look_up, ((), scores, jnp.arange(len(ids))), masks, block_size)

    return {kind: jax.value_and_grad(loss)(scores, kind) for kind in RELEASED}


@pytest.mark.parametrize("block_size", [None, 3])
def test_logits_of_group_a(block_size):
    cases = sorted({name.split("/")[1] for name in vectors() if name.startswith("A/")})
    assert len(cases) == 7
    for case in cases:
        arrays = of_case(f"A/{case}")
        scores, place, ids = score_matrix(arrays["logits"], int(arrays["num_pos"]))
        for kind, (value, gradient) in losses_of_scores(scores, ids, block_size).items():
            name = f"{case} {kind}"
            if case == "b2_no_negatives":  # NaN and -inf in the release
                assert value == 0, name
                assert not np.any(gradient), name
                continue
            expected = arrays[f"{kind}_loss"]
            np.testing.assert_allclose(value, expected, rtol=1e-5, atol=1e-6, err_msg=name)
            elsewhere = np.asarray(gradient).copy()
            close_gradient(elsewhere[place], arrays[f"{kind}_grad"][:, 0], name)
            elsewhere[place] = 0
            assert not np.any(elsewhere), name


def concat_mlp(params, x, y):
    """The release's critic on every pair [x ; y]; weights are stored [out, in]."""
    hidden = jnp.concatenate(
        [jnp.repeat(x[:, None], len(y), 1), jnp.repeat(y[None], len(x), 0)], axis=-1
    )
    for k in range(3):
        hidden = hidden @ params[f"W{k}"].T + params[f"b{k}"][None, None, :]
        hidden = hidden if k == 2 else jax.nn.relu(hidden)
    return hidden[..., 0]


@pytest.mark.parametrize("block_size", [None, 3])
@pytest.mark.parametrize("case", ["b4_unique", "b5_dup", "b8_wide"])
def test_embeddings_of_group_b(case, block_size):
    arrays = of_case(f"B/{case}")
    inputs = {name: arrays[name] for name in [*WEIGHTS, "z_img", "z_txt"]}
    masks = {"x_group_id": arrays["study_id"], "y_group_id": arrays["study_id"]}

    @quick_jit
    def both(inputs):
        def loss(inputs, kind):
            features = inputs, inputs["z_img"], inputs["z_txt"]
            return released(kind, concat_mlp, features, masks, block_size)

        return {kind: jax.value_and_grad(loss)(inputs, kind) for kind in RELEASED}

    for kind, (value, gradients) in both(inputs).items():
        np.testing.assert_allclose(value, arrays[f"{kind}_loss"], rtol=1e-5, err_msg=kind)
        for name, gradient in gradients.items():
            close_gradient(gradient, arrays[f"{kind}_grad_{name}"], f"{kind} by {name}")


@pytest.mark.parametrize("case", ["b4_unique", "b5_dup"])
def test_textbook_infonce_of_both_directions(x64, case):
    arrays, ids = of_case("H"), vectors()[f"B/{case}/study_id"]
    scores = arrays[f"textbook_infonce_{case}_score_matrix"]  # -inf within a study
    scores = np.where(np.isinf(scores), 50.0, scores)
    rows = arrays[f"textbook_infonce_{case}_img_to_txt"]
    columns = arrays[f"textbook_infonce_{case}_txt_to_img"]
    masks = {"x_group_id": ids, "y_group_id": ids}

    @quick_jit
    def both(scores):
        ways = [losses.info_nce_loss(s, symmetric=False, **masks) for s in (scores, scores.T)]
        columns = jnp.arange(len(ids))
        symmetric = pairwise.info_nce_loss(look_up, scores, columns, block_size=2, **masks)
        return ways, symmetric

    ways, symmetric = both(scores)
    np.testing.assert_allclose(ways, [rows, columns], rtol=1e-12)
    np.testing.assert_allclose(symmetric, (rows + columns) / 2, rtol=1e-12)


@pytest.mark.parametrize("block_size", [None, 2])
def test_sentences_against_the_best_region_of_group_h(block_size):
    arrays = of_case("H")
    report, sentence = np.nonzero(np.arange(3) < arrays["num_sentences"][:, None])
    sentences, regions = arrays["s_sentences"][report, sentence], arrays["v_regions"]
    params = {name: arrays[name] for name in WEIGHTS}

    def critic(params, x, y):  # rows are sentences, so that the mean over rows is one over them
        each = concat_mlp(params, y.reshape(-1, y.shape[-1]), x)  # [images * regions, sentences]
        return jnp.max(each.reshape(*y.shape[:2], -1), axis=1).T

    study = arrays["study_id"]
    masks = {"x_positive_id": report, "y_positive_id": np.arange(3)}
    masks |= {"x_group_id": study[report], "y_group_id": study}

    @quick_jit
    def run(features):
        values = [released(kind, critic, features, masks, block_size) for kind in RELEASED]
        return critic(*features), values

    scores, values = run((params, sentences, regions))
    expected = arrays["max_over_regions"][:, report, sentence].T
    np.testing.assert_allclose(scores, expected, rtol=1e-5, atol=1e-6)
    expected = [arrays["dv_loss"], arrays["infonce_released_loss"]]
    np.testing.assert_allclose(values, expected, rtol=1e-5)
