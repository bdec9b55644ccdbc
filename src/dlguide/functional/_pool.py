"""Pooling in any number of dimensions: which entries each window holds, and what is made of them."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import torch
from torch import Tensor

from dlguide.functional._spatial import Sides, Size, check_dims, check_grad, each, output_size, pad
from dlguide.functional.windows import add_windows, windows

Places = list[Tensor]  # for each dimension the places that its windows see, of shape (kernel, out)


def options(
    dims: int, input: Tensor, kernel_size: Size, stride: Size | None, padding: Size, dilation: Size, ceil_mode: bool
) -> list[tuple[int, ...]]:
    """For each dimension: entries, windows, kernel, stride, padding, dilation."""
    check_dims(input, dims, f"pooling in {dims}d")
    kernel, padding = each(kernel_size, dims, "kernel_size", 1), each(padding, dims, "padding", 0)
    stride = kernel if stride is None or stride in ((), []) else each(stride, dims, "stride", 1)
    dilation = each(dilation, dims, "dilation", 1)
    if any(2 * p > d * (k - 1) + 1 for p, k, d in zip(padding, kernel, dilation, strict=True)):
        raise RuntimeError(
            f"expected padding of at most half of the kernel, got padding {padding} for a kernel of {kernel}:"
            " more would make windows of nothing but padding"
        )
    given = list(zip(input.shape[-dims:], kernel, stride, padding, dilation, strict=True))
    return [(n, output_size(n, k, s, p, d, ceil_mode), k, s, p, d) for n, k, s, p, d in given]


# --8<-- [start:places]
def places(device: torch.device, n: int, out: int, kernel: int, stride: int, padding: int, dilation: int) -> Tensor:
    """The entries that each window sees, one window in each column; those outside become the first one inside."""
    first = torch.arange(out, device=device) * stride - padding  # where each window begins
    seen = first + dilation * torch.arange(kernel, device=device)[:, None]  # (kernel, out)
    inside = (seen >= 0) & (seen < n)
    stand_in = torch.where(inside, seen, n - 1).amin(0)
    return torch.where(inside, seen, stand_in)
# --8<-- [end:places]


def flat_places(seen: Places, size: Sequence[int]) -> Tensor:
    """Places in the flattened dimensions, of shape (K, *out): row times width plus column."""
    dims = len(seen)
    flat = torch.zeros([1] * 2 * dims, dtype=torch.int64, device=seen[0].device)
    for i, one in enumerate(seen):
        shape = [1] * 2 * dims
        shape[i], shape[dims + i] = one.shape
        flat = flat * size[i] + one.reshape(shape)  # (*kernel, *out) when all dimensions are in
    return flat.flatten(0, dims - 1)


def take(input: Tensor, flat: Tensor) -> Tensor:
    """The entries at flat places: (..., *size) and (K, *out) -> (..., K, *out)."""
    dims = flat.dim() - 1
    return input.flatten(-dims).index_select(-1, flat.flatten()).unflatten(-1, flat.shape)


# --8<-- [start:largest]
def largest(input: Tensor, flat: Tensor) -> tuple[Tensor, Tensor]:
    """The largest entry of each window and its place; of equal ones the first."""
    dims = flat.dim() - 1
    values, choice = take(input, flat).max(-dims - 1)  # of K entries
    everywhere = flat.expand(*values.shape[:-dims], *flat.shape)
    return values, everywhere.gather(-dims - 1, choice.unsqueeze(-dims - 1)).squeeze(-dims - 1)


def largest_backward(grad_output: Tensor, indices: Tensor, size: Sequence[int]) -> Tensor:
    """Each gradient goes where the largest entry came from, and nowhere else."""
    dims = len(size)
    routed = grad_output.new_zeros(*grad_output.shape[:-dims], prod(size))
    return routed.scatter_add(-1, indices.flatten(-dims), grad_output.flatten(-dims)).unflatten(-1, size)
# --8<-- [end:largest]


def max_places(
    dims: int, input: Tensor, kernel_size: Size, stride: Size | None, padding: Size, dilation: Size, ceil_mode: bool
) -> Tensor:
    """The flat places that the windows of max pooling see."""
    given = options(dims, input, kernel_size, stride, padding, dilation, ceil_mode)
    return flat_places([places(input.device, *option) for option in given], input.shape[-dims:])


def average_options(
    dims: int, input: Tensor, kernel_size: Size, stride: Size | None, padding: Size, ceil_mode: bool,
    count_include_pad: bool, divisor: int | None,
) -> tuple[list[int], list[int], Sides, Tensor]:  # fmt: skip
    """Kernel, stride, entries to add on each side, and what each window's sum is divided by, of shape (*out)."""
    given = options(dims, input, kernel_size, stride, padding, 1, ceil_mode)
    kernel, stride = [option[2] for option in given], [option[3] for option in given]
    padded = [(p, p) for *_, p, _ in given]
    over = [(0, max(0, (out - 1) * s + k - n - 2 * p)) for n, out, k, s, p, _ in given]
    sides = [(before, after + more) for (before, after), (_, more) in zip(padded, over, strict=True)]
    counted = pad(pad(input.new_ones(input.shape[-dims:]), padded, float(count_include_pad)), over)
    counts = windows(counted, kernel, stride).sum(list(range(dims)))
    if divisor is not None:
        if divisor == 0:
            raise RuntimeError("expected divisor_override other than 0: each sum is divided by it")
        counts = torch.full_like(counts, divisor)
    return kernel, stride, sides, counts


# --8<-- [start:average]
def average(x: Tensor, kernel: Sequence[int], stride: Sequence[int], sides: Sides, counts: Tensor) -> Tensor:
    """The sum of each window over its count."""
    dims = len(kernel)
    return windows(pad(x, sides), kernel, stride).sum(list(range(-2 * dims, -dims))) / counts


def average_backward(
    grad_output: Tensor, size: Sequence[int], kernel: Sequence[int], stride: Sequence[int], sides: Sides, counts: Tensor
) -> Tensor:
    """Each gradient spreads evenly over its window; where windows overlap, the shares add up."""
    dims = len(kernel)
    check_grad(grad_output, [*grad_output.shape[:-dims], *counts.shape])
    share = (grad_output / counts)[(..., *[None] * dims, *[slice(None)] * dims)]
    share = share.expand(*grad_output.shape[:-dims], *kernel, *counts.shape)
    padded = [n + before + after for n, (before, after) in zip(size, sides, strict=True)]
    return pad(add_windows(share, padded, stride), [(-before, -after) for before, after in sides])
# --8<-- [end:average]
