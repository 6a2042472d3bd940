"""Three full updates of the release: encoder, loss and Adam together."""

from pathlib import Path

import jax
import numpy as np
import optax
import pytest

from tests.reference.amdim_torch_names import our_tree
from tvdim_jax.losses.multiscale import multiscale_info_nce_loss
from tvdim_jax.models.image.amdim import AMDIMEncoder

DATA = Path(__file__).parents[2] / "data"
VECTORS = {
    name: array
    for file in ("amdim_encoder.npz", "amdim_update.npz")
    for name, array in np.load(DATA / file, allow_pickle=False).items()
    if name.startswith("px32/")
}
LOSS_NAMES = {
    "1_to_5": "loss_1t5",
    "1_to_7": "loss_1t7",
    "5_to_5": "loss_5t5",
    "regularizer": "lgt_reg",
}


@pytest.fixture(scope="module")
def updates():
    """(losses, gradients, parameters after) of each of the three updates."""
    image_size, ndf, rkhs, depth, _, _ = VECTORS["px32/config"].tolist()
    encoder = AMDIMEncoder(image_size, ndf=ndf, rkhs=rkhs, depth=depth)
    images = [VECTORS[f"px32/{view}"].transpose(0, 2, 3, 1) for view in ("x1", "x2")]
    learning_rate = float(VECTORS["px32/step/lr"])
    tx = optax.chain(
        optax.add_decayed_weights(1e-5),
        optax.scale_by_adam(0.8, 0.999, 1e-8),
        optax.scale(-learning_rate),
    )

    def loss(params, batch_stats, index_1, index_2):
        views = []
        for view in images:
            variables = {"params": params, "batch_stats": batch_stats}
            features, new = encoder.apply(variables, view, train=True, mutable=["batch_stats"])
            batch_stats = new["batch_stats"]
            views.append({1: features[0][:, None, None], **features[1]})
        terms = multiscale_info_nce_loss(*views, index_1=index_1, index_2=index_2, clip=20.0)
        return terms["loss"], (terms, batch_stats)

    @jax.jit
    def update(params, batch_stats, opt_state, index_1, index_2):
        grads, (terms, batch_stats) = jax.grad(loss, has_aux=True)(
            params, batch_stats, index_1, index_2
        )
        step, opt_state = tx.update(grads, opt_state, params)
        return optax.apply_updates(params, step), batch_stats, opt_state, terms, grads

    tree = our_tree(VECTORS, "px32/sd/", image_size)
    params, batch_stats = tree["params"], tree["batch_stats"]
    opt_state = tx.init(params)
    records = []
    for i in (1, 2, 3):
        index = [VECTORS[f"px32/step{i}/idx5_{view}"] for view in ("x1", "x2")]
        params, batch_stats, opt_state, terms, grads = update(
            params, batch_stats, opt_state, *index
        )
        records.append((terms, grads, params))
    return records


@pytest.mark.parametrize("i", [1, 2, 3])
def test_losses_match(updates, i):
    for ours, theirs in LOSS_NAMES.items():
        np.testing.assert_allclose(
            updates[i - 1][0][ours], VECTORS[f"px32/step{i}/{theirs}"], rtol=1e-5
        )


def test_gradients_of_update_1_match(updates):
    wanted = our_tree(VECTORS, "px32/step1/grad/", 32)["params"]
    for path, leaf in jax.tree.leaves_with_path(wanted):
        # A bias before a batch norm has no gradient: both sides hold rounding noise.
        scale = 1.0 if is_bias_before_norm(path) else np.abs(leaf).max()
        ours = at(updates[0][1], path)
        name = jax.tree_util.keystr(path)
        np.testing.assert_allclose(ours, leaf, rtol=0, atol=1e-4 * scale, err_msg=name)


@pytest.mark.parametrize("i", [1, 3])
def test_parameters_match(updates, i):
    # Adam moves an entry by about the learning rate in the direction of the gradient's sign, which
    # is chance for the biases without a true gradient: they are left out.
    wanted = our_tree(VECTORS, f"px32/step{i}/after/", 32)["params"]
    differences = np.concatenate(
        [
            np.ravel(at(updates[i - 1][2], path) - leaf)
            for path, leaf in jax.tree.leaves_with_path(wanted)
            if not is_bias_before_norm(path)
        ]
    )
    learning_rate = float(VECTORS["px32/step/lr"])
    assert np.abs(differences).max() < 0.01 * learning_rate


def is_bias_before_norm(path):
    return [entry.key for entry in path][-2:] == ["shortcut", "bias"]


def at(tree, path):
    for entry in path:
        tree = tree[entry.key]
    return tree
