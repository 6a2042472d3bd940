import jax
import jax.numpy as jnp

from tvdim_jax.features import Features


def test_features_pass_through_jit_as_a_tree():
    maps = {5: jnp.ones((2, 5, 5, 3)), 7: jnp.ones((2, 7, 7, 3))}
    features = Features(jnp.ones((2, 3)), maps)
    doubled = jax.jit(lambda tree: jax.tree.map(lambda leaf: 2 * leaf, tree))(features)
    assert isinstance(doubled, Features)
    assert doubled.global_features.sum() == 12
    assert {height: leaf.shape for height, leaf in doubled.local_features.items()} == {
        5: (2, 5, 5, 3),
        7: (2, 7, 7, 3),
    }
