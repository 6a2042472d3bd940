"""Regions against sentences: every choice for the negatives by a loop, and the stored numbers."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tvdim_jax.critics.pair_critic import make_pair_critic
from tvdim_jax.losses import donsker_varadhan_lower_bound, released_lmi_infonce_loss
from tvdim_jax.objectives.region_critic import (
    best_region,
    check_negative_regions,
    region_scores,
)

STORED = np.load(Path(__file__).parents[1] / "data" / "lmi_local.npz")
B, R, S, H = 3, 5, 2, 4
MLP = make_pair_critic("mlp", (7, 5))
DOT = make_pair_critic("bilinear")  # on projected features: a product


def stored_critic():
    """The stored weights `[out, in]` as parameters of our critic."""
    width = STORED["H_v_regions"].shape[-1]
    first = STORED["H_W0"].T
    layers = {"layers_0": {"x": first[:width], "y": first[width:], "bias": STORED["H_b0"]}}
    for i in (1, 2):
        layers[f"layers_{i}"] = {"kernel": STORED[f"H_W{i}"].T, "bias": STORED[f"H_b{i}"]}
    return jax.tree.map(jnp.asarray, layers)


def test_stored_scores_losses_and_regions():
    """From the LMI critic on 3 images of 6 regions and reports of 2, 3 and 1 sentences."""
    params = stored_critic()
    regions, sentences = (jnp.asarray(STORED[f"H_{n}"]) for n in ("v_regions", "s_sentences"))
    said = np.arange(3) < STORED["H_num_sentences"][:, None]
    flat = regions.reshape(-1, regions.shape[-1]), sentences.reshape(-1, sentences.shape[-1])
    x, y = MLP.project(params, *flat)
    x, row = x.reshape(3, 6, -1), np.repeat(np.arange(3), 3)
    scores = region_scores(
        MLP,
        params,
        {"regions": x, "row": jnp.arange(3)},
        {"vector": y, "row": jnp.asarray(row)},
        region_pool="max",
        negative_regions="own",
    )
    expected = STORED["H_max_over_regions"].reshape(3, 9)
    np.testing.assert_allclose(scores[:, said.ravel()], expected[:, said.ravel()], rtol=1e-5)
    words = {
        "x_positive_id": np.arange(3),
        "y_positive_id": row,
        "y_where": said.ravel(),
        "x_group_id": STORED["H_study_id"],
        "y_group_id": np.repeat(STORED["H_study_id"], 3),
    }
    # Sentences as anchors: the stored mean is over all of them alike.
    flipped = {f"{'yx'[name[0] == 'y']}{name[1:]}": word for name, word in words.items()}
    bound = donsker_varadhan_lower_bound(scores.T, **flipped)
    np.testing.assert_allclose(-bound, STORED["H_dv_loss"], rtol=1e-5)
    released = released_lmi_infonce_loss(scores.T, **flipped)
    np.testing.assert_allclose(released, STORED["H_infonce_released_loss"], rtol=1e-5)
    found = np.where(said, best_region(MLP, params, x, y.reshape(3, 3, -1)), -1)
    np.testing.assert_array_equal(found, STORED["H_argmax_region_positive"])


def inputs():
    rng = np.random.default_rng(0)
    regions, vectors = rng.normal(size=(B, R, H)), rng.normal(size=(B * S, H))
    return jnp.asarray(regions, jnp.float32), jnp.asarray(vectors, jnp.float32)


def pooled(scores, pool):
    if pool == "max":
        return scores.max()
    return scores.mean() if pool == "mean" else np.log(np.mean(np.exp(scores)))


@pytest.mark.parametrize(
    ("pool", "negative_regions"),
    [
        ("max", "own"),
        ("mean", "own"),
        ("log_mean_exp", "own"),
        ("max", "positive"),
        ("max", "all"),
        ("mean", "all"),
    ],
)
def test_each_choice_equals_the_loop(pool, negative_regions):
    regions, vectors = inputs()
    row = np.repeat(np.arange(B), S)
    best = best_region(DOT, (), regions, vectors.reshape(B, S, H)).reshape(-1)
    got = region_scores(
        DOT,
        (),
        {"regions": regions, "row": jnp.arange(B)},
        {"vector": vectors, "row": jnp.asarray(row), "region": best},
        region_pool=pool,
        negative_regions=negative_regions,
    )
    for i, m in np.ndindex(B, B * S):
        of_regions = np.asarray(regions[i] @ vectors[m], np.float64)
        expected = pooled(of_regions, pool)
        if i != row[m] and negative_regions == "positive":
            expected = of_regions[np.argmax(regions[row[m]] @ vectors[m])]
        if i != row[m] and negative_regions == "all":
            expected = pooled(of_regions, "log_mean_exp")
        np.testing.assert_allclose(got[i, m], expected, rtol=1e-4, atol=1e-6)


def test_the_best_region_has_no_gradient():
    regions, vectors = inputs()
    _, vjp = jax.vjp(lambda r: best_region(DOT, (), r, vectors.reshape(B, S, H)) * 1.0, regions)
    assert not np.any(vjp(jnp.ones((B, S)))[0])


def test_choices_that_do_not_fit_say_so():
    with pytest.raises(ValueError, match="negative_regions: got 'some', wanted one of own, posit"):
        check_negative_regions("some", "max")
    with pytest.raises(ValueError, match="'positive' with region_pool 'mean', wanted 'max'"):
        check_negative_regions("positive", "mean")
