"""One compiled program that trains a critic with a bound and estimates with it."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from benchmarks.mi_estimates.critic import Critic
from benchmarks.mi_estimates.tasks import Part, Parts
from tvdim_jax import losses
from tvdim_jax.losses import pairwise
from tvdim_jax.prng import named_key

BATCH_SIZE, EPOCHS, PATIENCE = 64, 20, 6
STOP_GROUP = 200
LEARNING_RATE, WARMUP_STEPS, WEIGHT_DECAY, AVERAGING = 5e-3, 50, 0.7, 0.98


class Bound(NamedTuple):
    """What trains and stops the critic, from scores, and what estimates, from features."""

    objective: Callable[[jax.Array], jax.Array]
    estimate: Callable[..., jax.Array]


BOUNDS = {
    "InfoNCE": Bound(losses.info_nce_lower_bound, pairwise.info_nce_lower_bound),
    "DV": Bound(losses.donsker_varadhan_lower_bound, pairwise.donsker_varadhan_lower_bound),
    "NWJ": Bound(losses.nwj_lower_bound, pairwise.nwj_lower_bound),
    # Not trained by itself: its negatives are clamped, and nothing would hold the positives.
    "SMILE": Bound(losses.jsd_objective, pairwise.smile_lower_bound),
}
CRITIC = Critic()


class Best(NamedTuple):
    """The best averaged weights so far, and the objective on the stopping rows."""

    value: jax.Array
    params: Any
    epoch: jax.Array


class Training(NamedTuple):
    """Where the training stands after `epoch` epochs."""

    params: Any
    average: Any
    opt_state: Any
    best: Best
    epoch: jax.Array


@functools.cache
def compiled(bound: str, shapes: tuple[Any, ...]) -> Callable[..., tuple[jax.Array, jax.Array]]:
    """The program of a bound.

    Args:
      bound: one of `BOUNDS`.
      shapes: of (x, y) of the training, stopping and held-out rows.

    Returns:
      `program(key, parts)` -> the estimate on the held-out rows, in nats, and the epochs trained.
    """
    parts = [Part(*(jax.ShapeDtypeStruct(side, jnp.float32) for side in part)) for part in shapes]
    program = jax.jit(functools.partial(train_and_estimate, BOUNDS[bound]))
    return program.lower(jax.random.key(0), tuple(parts)).compile()


def train_and_estimate(bound: Bound, key: jax.Array, parts: Parts) -> tuple[jax.Array, jax.Array]:
    """Trains until the stopping rows say so, then reads the held-out rows for the first time."""
    train, _, held_out = parts
    params = CRITIC.init(named_key(key, "init"), train.x[:1], train.y[:1])
    tx = make_optimizer(len(train.x) // BATCH_SIZE * EPOCHS)
    run_epoch = functools.partial(_epoch, bound, tx, named_key(key, "batches"), parts)
    zero = jnp.int32(0)
    start = Training(params, params, tx.init(params), Best(jnp.array(-jnp.inf), params, zero), zero)

    def goes_on(training: Training) -> jax.Array:
        waited = training.epoch - training.best.epoch
        return (training.epoch < EPOCHS) & (waited < PATIENCE)

    end = jax.lax.while_loop(goes_on, run_epoch, start)
    x, y = CRITIC.apply(end.best.params, *held_out, method="sides")
    score = functools.partial(CRITIC.apply, method="score")
    return bound.estimate(score, x, y, params=end.best.params), end.epoch


def _epoch(
    bound: Bound,
    tx: optax.GradientTransformation,
    key: jax.Array,
    parts: Parts,
    training: Training,
) -> Training:
    """Every training row once, less a rest below a batch, then a look at the stopping rows."""
    train, stop, _ = parts

    def step(carry: Any, rows: jax.Array) -> tuple[Any, None]:
        params, average, opt_state = carry
        x, y = train.x[rows], train.y[rows]
        gradient = jax.grad(lambda params: -bound.objective(_scores(params, x, y)))(params)
        updates, opt_state = tx.update(gradient, opt_state, params)
        params = optax.apply_updates(params, updates)
        average = optax.incremental_update(params, average, 1 - AVERAGING)
        return (params, average, opt_state), None

    num_steps = len(train.x) // BATCH_SIZE
    order = jax.random.permutation(jax.random.fold_in(key, training.epoch), len(train.x))
    batches = order[: num_steps * BATCH_SIZE].reshape(num_steps, BATCH_SIZE)
    (params, average, opt_state), _ = jax.lax.scan(step, training[:3], batches)
    epoch = training.epoch + 1
    found = Best(_mean_over_groups(bound, average, stop), average, epoch)
    better = found.value > training.best.value
    best = jax.tree.map(functools.partial(jnp.where, better), found, training.best)
    return Training(params, average, opt_state, best, epoch)


def _scores(params: Any, x: Any, y: Any) -> Any:
    return CRITIC.apply(params, x, y)


def _mean_over_groups(bound: Bound, params: Any, part: Part) -> jax.Array:
    """Mean objective over groups of at most `STOP_GROUP` rows: cheaper than all pairs at once."""
    num_groups = -(-len(part.x) // STOP_GROUP)
    size = len(part.x) // num_groups
    x, y = (side[: num_groups * size].reshape(num_groups, size, -1) for side in part)
    return jnp.mean(bound.objective(jax.vmap(functools.partial(_scores, params))(x, y)))


def make_optimizer(num_steps: int) -> optax.GradientTransformation:
    """AdamW with warm-up and cosine decay; the decay spares biases."""
    schedule = optax.warmup_cosine_decay_schedule(
        0.0, LEARNING_RATE, min(WARMUP_STEPS, num_steps // 2), num_steps, LEARNING_RATE / 20
    )
    decayed = functools.partial(jax.tree.map, lambda leaf: leaf.ndim > 1)
    adam = optax.adamw(schedule, b2=0.99, weight_decay=WEIGHT_DECAY, mask=decayed)
    return optax.chain(optax.clip_by_global_norm(1.0), adam)
