"""Every loss on scores, with the options and the loop it is tested with, and inputs for it."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from tests.reference import numpy_losses, numpy_srcl
from tvdim_jax import losses
from tvdim_jax.losses import pairwise

# These tests compile much and compute little. jax 0.11 and later know only the first option.
_QUICK: dict[str, Any] = {"xla_backend_optimization_level": 0}
if jax.__version_info__ < (0, 11):
    _QUICK["xla_cpu_use_fusion_emitters"] = False
quick_jit = partial(jax.jit, compiler_options=_QUICK)


class Loss(NamedTuple):
    """A loss with the options of one test.

    `num_scores` counts its matrices: scores, similarity, teacher similarity. `traced` names the
    options that may be traced. `overflows`: scores of 1e4 may give an infinite value. `loops`: the
    loop can follow scores of 1e4.
    """

    name: str
    reference: Callable[..., float]
    options: Mapping[str, Any] = {}
    num_scores: int = 1
    traced: tuple[str, ...] = ()
    overflows: bool = False
    loops: bool = True

    def __str__(self) -> str:
        """The name of the test."""
        return "-".join([self.name, *(f"{k}={v}" for k, v in self.options.items())])

    @property
    def dense(self) -> Callable[..., jax.Array]:
        return getattr(losses, self.name)

    @property
    def streamed(self) -> Callable[..., jax.Array]:
        return getattr(pairwise, self.name)

    @property
    def numbers(self) -> dict[str, float]:
        """The options that may be traced."""
        return {name: self.options[name] for name in self.traced if name in self.options}

    @property
    def words(self) -> dict[str, Any]:
        """The other options."""
        return {name: self.options[name] for name in self.options if name not in self.traced}


def _bound(name: str, **rest: Any) -> Loss:
    return Loss(name, getattr(numpy_losses, name), **rest)


def _ranking(**options: Any) -> Loss:
    return _bound("margin_ranking_loss", options={"margin": 0.37, **options}, traced=("margin",))


def _regulated(num_scores: int, *, loops: bool = True, **options: Any) -> Loss:
    return Loss(
        "similarity_regulated_loss",
        numpy_srcl.similarity_regulated_loss,
        {"temperature": 0.6, **options},
        num_scores,
        ("temperature", "teacher_share"),
        loops=loops,
    )


LOSSES = (
    _bound("info_nce_lower_bound"),
    _bound("donsker_varadhan_lower_bound"),
    _bound("nwj_lower_bound", overflows=True),
    _bound("smile_lower_bound", options={"clip": 1.3}),
    _bound("jsd_objective"),
    _bound("info_nce_loss", options={"temperature": 0.37}, traced=("temperature",)),
    _bound(
        "info_nce_loss",
        options={"temperature": 1.7, "symmetric": False},
        traced=("temperature",),
    ),
    _bound("sigmoid_pair_loss"),
    _bound("released_lmi_infonce_loss"),
    _ranking(),
    _ranking(negatives="hardest"),
    _ranking(negatives=3),
    _regulated(3, teacher_share=0.35, norm="softmax", delta=3.0),
    _regulated(1, loops=False),
    _regulated(2, norm="power", delta=2.5, symmetric=False),
    _regulated(3, teacher_share=0.6, weight_gradient=True),
    _regulated(2, norm="softmax", delta=2.0, weight_gradient=True),
)
ONE_OF_EACH = tuple({loss.name: loss for loss in reversed(LOSSES)}.values())[::-1]


def matrices(loss: Loss, rng: np.random.Generator, *shape: int) -> list[np.ndarray]:
    """Scores `[..., N, M]`, and similarities in [-1, 1] where the loss takes them."""
    similarities = [rng.uniform(-1, 1, shape) for _ in range(loss.num_scores - 1)]
    return [2 * rng.normal(size=shape), *similarities]


def row_words(rng: np.random.Generator, n: int, m: int) -> dict[str, np.ndarray]:
    """The mask words that belong to rows and columns: several positives, two columns of groups."""
    return {
        "x_where": rng.random(n) < 0.8,
        "y_where": rng.random(m) < 0.8,
        "x_positive_id": rng.integers(0, 4, n),
        "y_positive_id": rng.integers(0, 4, m),
        "x_group_id": rng.integers(-1, 5, (n, 2)),
        "y_group_id": rng.integers(-1, 5, (m, 2)),
    }


def inputs_of(loss: Loss, rng: np.random.Generator, n: int, m: int, width: int = 4) -> Any:
    """Numbers, parameters and two feature trees, for `critic_of`: all that has a gradient."""
    params = {"kernel": rng.normal(size=(width, width)), "shift": np.asarray(0.3)}
    x, y = (
        {name: rng.normal(size=(size, width)) for name in ("student", "teacher")} for size in (n, m)
    )
    return loss.numbers, params, x, y


def critic_of(loss: Loss) -> Callable[[Any, Any, Any], Any]:
    """A bilinear critic with a shift, followed by the cosines of students and of teachers."""

    def critic(params: Any, x: Any, y: Any) -> Any:
        scores = x["student"] @ params["kernel"] @ y["student"].T + params["shift"]
        tiles = (scores, *(_cosine(x[who], y[who]) for who in ("student", "teacher")))
        return tiles[: loss.num_scores] if loss.num_scores > 1 else scores

    return critic


def _cosine(x: jax.Array, y: jax.Array) -> jax.Array:
    x, y = (each / jnp.linalg.norm(each, axis=-1, keepdims=True) for each in (x, y))
    return x @ y.T


def dense_of_features(loss: Loss, inputs: Any, words: Any) -> jax.Array:
    """The value on the whole matrix that the critic gives; inputs are numbers, params, x, y."""
    numbers, params, x, y = inputs
    scores = critic_of(loss)(params, x, y)
    scores = scores if isinstance(scores, tuple) else (scores,)
    return loss.dense(*scores, **loss.words, **numbers, **words)


def streamed_of_features(loss: Loss, inputs: Any, words: Any, **how: Any) -> jax.Array:
    """The value of the streamed form; `how` is its block size and axis name."""
    numbers, params, x, y = inputs
    options = {**loss.words, **numbers, **words, **how}
    return loss.streamed(critic_of(loss), x, y, params=params, **options)


def assert_same(got: Any, expected: Any, case: str, value: float = 1e-12, gradient: float = 1e-10):
    """Values to a relative tolerance, gradients to a share of their largest entry."""
    np.testing.assert_allclose(got[0], expected[0], rtol=value, atol=1e-15, err_msg=case)
    wanted = jax.tree.leaves_with_path(expected[1])
    largest = max((float(np.abs(leaf).max(initial=0)) for _, leaf in wanted), default=0.0)
    for leaf, (path, like) in zip(jax.tree.leaves(got[1]), wanted, strict=True):
        scale = gradient * float(np.abs(like).max(initial=0)) + 1e-15 * largest
        name = f"{case}: gradient{jax.tree_util.keystr(path)}"
        np.testing.assert_allclose(leaf, like, rtol=0, atol=scale, err_msg=name)
