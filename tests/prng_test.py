import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np

from tvdim_jax.prng import named_key, step_key


def bits(key):
    return jax.random.key_data(key).tolist()


def test_streams_differ_by_name_and_step_and_repeat():
    root = jax.random.key(0)
    keys = [
        named_key(step_key(root, step), name)
        for step in range(3)
        for name in ("augment", "text_dropout", "")
    ]
    assert len({tuple(bits(key)) for key in keys}) == 9
    assert bits(named_key(step_key(root, 2), "augment")) == bits(keys[6])


def test_names_are_folded_by_crc32():
    # zlib.crc32(b"augment") == 3944118809: stable over processes, unlike hash().
    root = jax.random.key(7)
    assert bits(named_key(root, "augment")) == bits(jax.random.fold_in(root, 3944118809))


def test_steps_may_be_traced():
    root = jax.random.key(1)
    traced = jax.jit(lambda step: jax.random.key_data(step_key(root, step)))(jnp.int32(5))
    np.testing.assert_array_equal(traced, bits(step_key(root, 5)))


def test_equal_in_another_process():
    program = (
        "import jax; from tvdim_jax.prng import named_key;"
        "print(jax.random.key_data(named_key(jax.random.key(3), 'queue')).tolist())"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert done.stdout.decode().strip() == str(bits(named_key(jax.random.key(3), "queue")))
