"""The moving average and the queue, by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tvdim_jax.objectives.momentum import empty_queue, enqueue, moved_average


def test_the_average_of_the_branches_it_has():
    params = {"a": {"x": jnp.array([2.0, 4.0])}, "b": jnp.array(1.0)}
    average = {"a": {"x": jnp.array([1.0, 0.0], jnp.bfloat16)}}
    moved = moved_average(average, params, 0.75)
    assert moved["a"]["x"].dtype == jnp.bfloat16
    np.testing.assert_array_equal(moved["a"]["x"], [1.25, 1.0])
    assert moved.keys() == {"a"}


def test_params_get_no_gradient_from_their_average():
    average = {"a": jnp.ones(2)}
    gradient = jax.grad(lambda p: jnp.sum(moved_average(average, p, 0.5)["a"]))({"a": jnp.ones(2)})
    np.testing.assert_array_equal(gradient["a"], [0, 0])


def batch_of(number, size=2, width=3):
    """Sides filled with the number."""
    side = {
        "embedding": jnp.full((size, width), number, jnp.float32),
        "teacher": jnp.full((size, 1), -number, jnp.float32),
        "where": jnp.array([True] * (size - 1) + [False]),
        "group_id": jnp.full((size, 2), int(number)),
        "momentum": jnp.zeros((size, width)),
    }
    return {"image": side, "text": side | {"embedding": side["embedding"] + 100}}


def test_a_ring_of_the_latest_batches():
    queue = empty_queue(6, 3, 1)
    assert not np.any(queue["image"]["where"])
    assert np.all(np.asarray(queue["text"]["group_id"]) == -1)
    put = jax.jit(enqueue)
    for number in range(1, 5):
        queue = put(queue, batch_of(float(number)))
    assert queue["image"]["embedding"][:, 0].tolist() == [4, 4, 2, 2, 3, 3]
    assert queue["text"]["embedding"][:, 0].tolist() == [104, 104, 102, 102, 103, 103]
    assert queue["text"]["teacher"][:, 0].tolist() == [-4, -4, -2, -2, -3, -3]
    assert queue["image"]["group_id"][:, 1].tolist() == [4, 4, 2, 2, 3, 3]
    assert queue["image"]["where"].tolist() == [True, False] * 3
    assert int(queue["next"]) == 2
    assert queue["image"].keys() == queue["text"].keys() == {
        "embedding", "teacher", "where", "group_id",
    }  # fmt: skip


def test_a_queue_without_teacher_and_without_gradient():
    queue = empty_queue(2, 3)
    assert "teacher" not in queue["image"]

    def total(number):
        return jnp.sum(enqueue(queue, batch_of(number))["image"]["embedding"])

    assert float(total(5.0)) == 30
    assert float(jax.grad(lambda x: total(1.0) + 0 * x)(5.0)) == 0
    sides = batch_of(1.0)

    def through(vectors):
        image = sides["image"] | {"embedding": vectors}
        return jnp.sum(enqueue(queue, sides | {"image": image})["image"]["embedding"])

    assert not np.any(jax.grad(through)(jnp.ones((2, 3))))


def test_no_buffer_occurs_twice():
    leaves = jax.tree.leaves(empty_queue(4, 2, 2))
    assert len({leaf.unsafe_buffer_pointer() for leaf in leaves}) == len(leaves)


def test_wrong_sizes_say_so():
    with pytest.raises(ValueError, match="queue size: got 0, wanted at least 1"):
        empty_queue(0, 3)
    message = "queue: got 5 places for batches of 2, wanted a multiple of the batch.*take 4"
    with pytest.raises(ValueError, match=message):
        enqueue(empty_queue(5, 3, 1), batch_of(1.0))
