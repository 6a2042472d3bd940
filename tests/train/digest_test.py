"""The digest: whoever changes one bit changes it, whoever moves the arrays does not."""

import hashlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import PartitionSpec

from tvdim_jax.train.digest import leaf_digests, named_leaves, tree_digest
from tvdim_jax.train.sharding import make_mesh, replicated, split_over_data
from tvdim_jax.train.state import TrainState

BYTES = np.random.default_rng(0).integers(0, 256, 48, dtype=np.uint8)


@pytest.mark.parametrize("dtype", ["float32", "int32", "bfloat16", "int8", "bool"])
def test_digest_is_of_type_shape_and_bits(dtype):
    array = (BYTES > 99) if dtype == "bool" else BYTES.view(jnp.dtype(dtype))
    array = array.reshape(2, -1)
    wanted = hashlib.sha256(f"{dtype}{array.shape}".encode() + array.tobytes()).hexdigest()[:16]
    assert leaf_digests({"a": jnp.asarray(array)}) == {"a": wanted}
    turned = jax.device_put(jnp.asarray(array.T)).T  # other strides
    assert leaf_digests({"a": turned}) == {"a": wanted}


def test_scalars_empty_arrays_and_types_have_digests_of_their_own():
    zeros = [
        jnp.zeros(shape, t) for shape in [(), (1,), (0,), (0, 2)] for t in (jnp.int32, jnp.float32)
    ]
    assert len({tree_digest(x) for x in zeros}) == len(zeros)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "int8", "uint32"])
def test_every_flipped_bit_changes_the_digest(dtype):
    dtype = jnp.dtype(dtype)
    flipped = np.tile(BYTES, (len(BYTES) * 8 + 1, 1))  # row 0 stays as it is
    bits = np.arange(len(BYTES) * 8)
    flipped[bits + 1, bits // 8] ^= (1 << bits % 8).astype(np.uint8)
    digests = [leaf_digests({"a": jnp.asarray(row.view(dtype))})["a"] for row in flipped]
    assert len(digests) == 385
    assert digests[0] not in digests[1:]
    assert len(set(digests)) == 385


def test_every_flipped_bit_of_a_key_changes_the_digest():
    data = np.array([3, 2**31], np.uint32)
    keys = [data] + [
        data ^ (np.arange(2) == bit // 32) * np.uint32(1 << bit % 32) for bit in range(64)
    ]
    digests = {leaf_digests({"k": jax.random.wrap_key_data(jnp.asarray(k))})["k"] for k in keys}
    assert len(digests) == 65


def test_damage_to_two_words_does_not_cancel():
    # Two flipped signs cancel in a sum of words, each times an odd factor.
    x = jnp.arange(1.0, 9.0)
    plain = tree_digest(x)
    for i in range(8):
        for j in range(i):
            assert tree_digest(x.at[i].multiply(-1).at[j].multiply(-1)) != plain
    assert tree_digest(x[::-1]) != plain
    assert tree_digest(jnp.roll(x, 1)) != plain


def test_added_zeros_change_the_digest():
    assert tree_digest(jnp.zeros(3)) != tree_digest(jnp.zeros(4))


def test_digest_is_that_of_any_device_count_and_sharding():
    tree = {"x": jnp.asarray(BYTES.view(np.float32)[:8].reshape(8, 1)), "k": jax.random.key(3)}
    one = jax.device_put(tree, jax.devices()[5])
    mesh = make_mesh()
    whole = jax.device_put(tree, replicated(mesh))
    split = {**whole, "x": jax.device_put(tree["x"], split_over_data(mesh))}
    assert split["x"].sharding.spec == PartitionSpec("data")
    assert leaf_digests(one) == leaf_digests(whole) == leaf_digests(split) == leaf_digests(tree)
    assert tree_digest(one) == tree_digest(whole) == tree_digest(split) == tree_digest(tree)


def test_tree_digest_changes_with_path_and_value_and_repeats():
    x, y = jnp.arange(3.0), jnp.arange(3.0) + 1
    trees = [
        {"a": x, "b": y},
        {"a": y, "b": x},
        {"a": x, "c": y},
        {"a": {"b": x}, "b": y},
        {"a": x},
    ]
    digests = [tree_digest(tree) for tree in trees]
    assert len(set(digests)) == 5
    assert digests == [tree_digest(tree) for tree in trees]
    assert all(len(word) == 16 and int(word, 16) >= 0 for word in digests)


def test_names_read_alike_for_dicts_and_dataclasses():
    params = {"image": {"stem": 1}}
    state = TrainState(0, params, {}, (2, {"w": 3}), 4, 5, 6)
    names = dict(named_leaves(state))
    assert names["params/image/stem"] == 1
    assert names["opt_state/1/w"] == 3
    assert dict(named_leaves({"params": params})) == {"params/image/stem": 1}
