"""The same losses as one writes them in PyTorch: eager, compiled, and as they were published."""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import torch
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

Loss = Callable[[Any, Any, Any], torch.Tensor]

CHUNK = 1024


def make_forms(name: str, inputs: tuple[Any, Any, Any]) -> dict[str, Any]:
    """Forms `() -> (value, gradients)` of a case by column, on inputs copied from JAX.

    Args:
      name: key in `tvdim_jax`'s cases; one without a PyTorch form has no columns.
      inputs: `(params, x, y)`, JAX arrays.
    """
    on_cpu = jax.default_backend() == "cpu"
    if not (on_cpu or torch.cuda.is_available()):
        return {}
    device = "cpu" if on_cpu else "cuda"
    tensors = jax.tree.map(lambda leaf: _tensor(leaf, device), inputs)
    columns = dict(PUBLISHED.get(name, {}))
    if name in LOSSES:
        torch.compiler.reset()  # else the compiled code of earlier sizes makes this one general
        columns["torch_eager"] = LOSSES[name]
        columns["torch_compile"] = torch.compile(LOSSES[name], dynamic=False)
    return {column: _value_and_gradient(loss, tensors) for column, loss in columns.items()}


def _tensor(leaf: jax.Array, device: str) -> torch.Tensor:
    tensor = torch.from_numpy(np.array(leaf, np.float32)).to(device)
    dtype = torch.bfloat16 if leaf.dtype == "bfloat16" else torch.float32
    return tensor.to(dtype).requires_grad_()


def _value_and_gradient(loss: Loss, tensors: tuple[Any, Any, Any]) -> Callable[[], Any]:
    def run() -> Any:
        value = loss(*tensors)
        gradients = torch.autograd.grad(value, jax.tree.leaves(tensors))
        if value.is_cuda:
            torch.cuda.synchronize()
        return value, list(gradients)

    return run


def symmetric_info_nce(scores: torch.Tensor) -> torch.Tensor:
    """Cross-entropy of the diagonal of `[B, B]` over rows and over columns, averaged."""
    labels = torch.arange(scores.shape[0], device=scores.device)
    rows, columns = (functional.cross_entropy(s, labels) for s in (scores, scores.T))
    return (rows + columns) / 2


def info_nce(params: Any, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """InfoNCE of products."""
    del params
    return symmetric_info_nce((x @ y.T).float())


def sigmoid(params: Any, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """SigLIP's loss from the whole matrix (arXiv 2303.15343)."""
    return _sigmoid_of_rows(params, x, y, 0) / x.shape[0]


def sigmoid_in_chunks(params: Any, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """SigLIP's loss over chunks of rows that the backward pass makes again, as open_clip's does."""
    total = x.new_zeros((), dtype=torch.float32)
    for start in range(0, x.shape[0], CHUNK):
        rows = x[start : start + CHUNK]
        total = total + checkpoint(_sigmoid_of_rows, params, rows, y, start, use_reentrant=False)
    return total / x.shape[0]


def _sigmoid_of_rows(params: Any, rows: torch.Tensor, y: torch.Tensor, start: int) -> torch.Tensor:
    scores = params["scale"] * (rows @ y.T).float() + params["bias"]
    labels = -torch.ones_like(scores)
    labels.diagonal(start).fill_(1)
    return -functional.logsigmoid(labels * scores).sum()


def local_log_mean_exp(params: Any, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """InfoNCE of region-token scores, pooled smoothly over regions."""
    del params
    scores = _region_token_scores(x, y)
    pooled = torch.logsumexp(scores, dim=1) - np.log(scores.shape[1])
    return symmetric_info_nce(pooled.mean(dim=-1))


def local_max(params: Any, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """InfoNCE of region-token scores, the best region for each token."""
    del params
    return symmetric_info_nce(_region_token_scores(x, y).amax(dim=1).mean(dim=-1))


def _region_token_scores(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """`[N, R, D]` and `[M, T, D]` -> `[N, R, M, T]`, by one product, without a transpose."""
    scores = (x.flatten(0, 1) @ y.flatten(0, 1).T).float()
    return scores.view(*x.shape[:2], *y.shape[:2])


def mlp_info_nce(params: Any, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """InfoNCE of LMI's critic, its first layer split as ours is."""
    first, *rest = _layers(params)
    hidden = (x @ first["x"] + first["bias"])[:, None] + (y @ first["y"])[None]
    scores = _after_first(hidden.flatten(0, 1), rest)
    return symmetric_info_nce(scores.view(x.shape[0], y.shape[0]))


def released_lmi(params: Any, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """The loss of LMI's release with its critic, and with its pairs appended one by one.

    Source: github.com/RayRuizhiLiao/mutual_info_img_txt, written anew.
    """
    batch = x.shape[0]
    pairs = torch.cat([x, y], dim=1)  # the positives first
    for gap in range(1, batch):
        for i in range(batch):
            pair = torch.cat([x[i], y[(i + gap) % batch]])
            pairs = torch.cat([pairs, pair[None]])
    first, *rest = _layers(params)
    hidden = pairs @ torch.cat([first["x"], first["y"]]) + first["bias"]
    scores = _after_first(hidden, rest)[:, 0]
    return torch.logsumexp(scores[batch:], dim=0) - scores[:batch].mean()


def _layers(params: Any) -> list[Any]:
    layers = params["params"]
    return [layers[name] for name in sorted(layers)]


def _after_first(hidden: torch.Tensor, layers: list[Any]) -> torch.Tensor:
    for layer in layers:
        hidden = functional.relu(hidden) @ layer["kernel"] + layer["bias"]
    return hidden


def amdim(params: Any, view_1: Any, view_2: Any) -> torch.Tensor:
    """AMDIM's six terms and their regularizers (arXiv 1906.00910)."""
    del params
    total = torch.zeros((), device=view_1[1].device)
    for source, target in ((view_1, view_2), (view_2, view_1)):
        glob = source[1].flatten(1)
        images = torch.arange(glob.shape[0], device=glob.device)
        drawn = source[5].flatten(1, 2)[images, images % 25]
        for vectors, height in ((glob, 5), (glob, 7), (drawn, 5)):
            total = total + _directed_term(vectors, target[height].flatten(1, 2)) / 2
    return total


def _directed_term(source: torch.Tensor, targets: torch.Tensor, clip: float = 20.0) -> torch.Tensor:
    """One source vector an image `[B, D]` against the `[B, R, D]` of every image."""
    batch, width = source.shape
    scores = (source @ targets.flatten(0, 1).T).float().view(batch, batch, -1) / width**0.5
    clipped = clip * torch.tanh(scores / clip)
    same_image = torch.eye(batch, dtype=torch.bool, device=source.device)[:, :, None]
    negatives = clipped.masked_fill(same_image, -torch.inf).flatten(1).logsumexp(dim=1)
    positives = clipped.diagonal().T
    loss = functional.softplus(negatives[:, None] - positives).mean()
    return loss + 0.05 * scores.square().mean()


LOSSES: dict[str, Loss] = {
    "info_nce": info_nce,
    "sigmoid": sigmoid,
    "local": local_log_mean_exp,
    "local_max": local_max,
    "mlp": mlp_info_nce,
    "amdim": amdim,
}
PUBLISHED: dict[str, dict[str, Loss]] = {
    "sigmoid": {"open_clip_chunked": sigmoid_in_chunks},
    "lmi": {"published_pair_loop": released_lmi},
}
