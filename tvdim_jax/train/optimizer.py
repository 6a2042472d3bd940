"""The optax chains of a run: clip, Adam with L2 or AdamW, warm-up and schedule."""

from collections.abc import Sequence

import optax

from tvdim_jax.train.adamw import all_but_biases_and_scales


def make_schedule(
    *,
    learning_rate: float,
    warmup_steps: int,
    schedule: str,
    num_steps: int,
    step_boundaries: Sequence[int] = (),
    step_factor: float = 0.2,
) -> optax.Schedule:
    """Learning rate of update t, counted from 0.

    During the warm-up it is `learning_rate * (t + 1) / warmup_steps`
    (as in the AMDIM release: the first update already moves).

    Args:
      learning_rate: peak.
      warmup_steps: updates until the peak; 0 starts there.
      schedule: "constant", "cosine" (to 0 at `num_steps`) or "step".
      num_steps: updates of the run.
      step_boundaries: first updates with a lowered rate, increasing; "step" only.
      step_factor: factor of each drop; "step" only.

    Returns:
      A function of the update number.

    Raises:
      ValueError: for an unknown schedule.
    """
    if schedule == "constant":
        main = optax.constant_schedule(learning_rate)
    elif schedule == "cosine":
        main = optax.cosine_decay_schedule(learning_rate, max(1, num_steps - warmup_steps))
    elif schedule == "step":
        drops = {bound - warmup_steps: step_factor for bound in step_boundaries}
        main = optax.piecewise_constant_schedule(learning_rate, drops)
    else:
        raise ValueError(f"unknown schedule {schedule!r}, wanted constant, cosine or step")
    if not warmup_steps:
        return main
    warmup = optax.linear_schedule(learning_rate / warmup_steps, learning_rate, warmup_steps - 1)
    return optax.join_schedules([warmup, main], [warmup_steps])


def make_optimizer(
    schedule: optax.Schedule,
    *,
    b1: float = 0.8,
    b2: float = 0.999,
    eps: float = 1e-8,
    weight_decay: float = 1e-5,
    clip_norm: float = 0.0,
) -> optax.GradientTransformation:
    """Adam with L2 added to the gradient of every parameter, biases and BN included.

    This is torch's `Adam(weight_decay=)`, not AdamW, as the AMDIM release has it.

    Args:
      schedule: learning rate of update t.
      b1: decay of the first moment.
      b2: decay of the second moment.
      eps: added to the root of the second moment.
      weight_decay: L2 factor.
      clip_norm: largest global gradient norm, before the L2 term; 0 does not clip.

    Returns:
      The optax transformation.
    """
    clip = [optax.clip_by_global_norm(clip_norm)] if clip_norm else []
    return optax.chain(
        *clip,
        optax.add_decayed_weights(weight_decay),
        optax.scale_by_adam(b1, b2, eps),
        optax.scale_by_learning_rate(schedule),
    )


def make_adamw(
    schedule: optax.Schedule,
    *,
    b1: float = 0.9,
    b2: float = 0.999,
    eps: float = 1e-8,
    weight_decay: float = 0.01,
    clip_norm: float = 0.0,
) -> optax.GradientTransformation:
    """AdamW: the decay is taken from the parameter itself, times the learning rate.

    Biases and the factors of norms do not decay. This is torch's `AdamW` with two parameter groups,
    as ALBEF has it.

    Args:
      schedule: learning rate of update t.
      b1: decay of the first moment.
      b2: decay of the second moment.
      eps: added to the root of the second moment.
      weight_decay: factor of the decoupled decay.
      clip_norm: largest global gradient norm; 0 does not clip.

    Returns:
      The optax transformation; an update needs the parameters.
    """
    clip = [optax.clip_by_global_norm(clip_norm)] if clip_norm else []
    adamw = optax.adamw(
        schedule, b1, b2, eps, weight_decay=weight_decay, mask=all_but_biases_and_scales
    )
    return optax.chain(*clip, adamw)
