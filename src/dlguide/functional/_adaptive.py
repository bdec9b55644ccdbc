"""The windows of adaptive pooling: from the floor of i n / o to the ceiling of (i + 1) n / o."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from dlguide.functional._pool import flat_places, take
from dlguide.functional._spatial import check_dims, check_grad

OutputSize = int | None | Sequence[int | None]


# --8<-- [start:windows]
def adaptive_places(n: int, out: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """The entries that each window sees, one window in each column, and which of them are its own."""
    i = torch.arange(out, device=device)
    start, end = i * n // out, ((i + 1) * n + out - 1) // out  # floor and ceiling
    seen = start + torch.arange(int((end - start).max()), device=device)[:, None]  # (widest window, out)
    return seen.minimum(end - 1), seen < end
# --8<-- [end:windows]


def adaptive(dims: int, input: Tensor, output_size: OutputSize) -> tuple[Tensor, Tensor]:
    """For all dimensions: flat places of shape (K, *out), and which of them belong to the window."""
    check_dims(input, dims, f"adaptive pooling in {dims}d")
    given: Sequence[Any] = output_size if isinstance(output_size, Sequence) else [output_size] * dims
    if len(given) != dims:
        raise RuntimeError(f"expected an output_size of {dims} numbers, got {output_size!r}")
    pairs = zip(given, input.shape[-dims:], strict=True)
    out = [n if size is None else operator.index(size) for size, n in pairs]
    if min(out) < 1:
        raise RuntimeError(f"expected an output_size of at least 1, got {output_size!r}")
    found = [adaptive_places(n, o, input.device) for n, o in zip(input.shape[-dims:], out, strict=True)]
    flat = flat_places([seen for seen, _ in found], input.shape[-dims:])
    outside = flat_places([(~own).long() for _, own in found], [2] * dims)  # 0 where inside in every dimension
    return flat, outside == 0


# --8<-- [start:mean]
def mean(input: Tensor, flat: Tensor, own: Tensor) -> Tensor:
    """The mean of the entries that are the window's own."""
    dims = flat.dim() - 1
    return torch.where(own, take(input, flat), 0).sum(-dims - 1) / own.sum(0)


def mean_backward(grad_output: Tensor, flat: Tensor, own: Tensor, size: Sequence[int]) -> Tensor:
    """Each gradient spreads evenly over its window."""
    dims = len(size)
    check_grad(grad_output, [*grad_output.shape[:-dims], *flat.shape[1:]])
    share = torch.where(own, (grad_output / own.sum(0)).unsqueeze(-dims - 1), 0)  # (..., K, *out)
    sums = grad_output.new_zeros(*grad_output.shape[:-dims], *size).flatten(-dims)
    return sums.index_add(-1, flat.flatten(), share.flatten(-dims - 1)).unflatten(-1, size)
# --8<-- [end:mean]
