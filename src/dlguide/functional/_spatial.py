"""What convolution and pooling share: options, sizes, padding and checks, for any number of spatial dimensions."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

from torch import Tensor
from torch.nn import functional as F

Size = int | Sequence[int]
Numbers = tuple[int, ...]  # one for each spatial dimension
Sides = list[tuple[int, int]]  # how many entries come before and after, for each spatial dimension


def each(value: Size | str, dims: int, name: str, least: int) -> tuple[int, ...]:
    """One whole number for each of `dims` dimensions: 3 becomes (3, 3)."""
    try:
        numbers: Sequence[Any] = value if isinstance(value, Sequence) else [value]
        given = tuple(map(operator.index, numbers))
    except TypeError:
        raise TypeError(f"expected {name} as a whole number or {dims} of them, got {value!r}") from None
    if len(given) not in (1, dims):
        raise RuntimeError(f"expected {name} as one number or {dims}, one for each dimension, got {value!r}")
    if min(given) < least:
        raise RuntimeError(f"expected {name} of at least {least}, got {value!r}")
    return given * dims if len(given) == 1 else given


def check_dims(input: Tensor, dims: int, function: str) -> None:
    """A picture or a batch of pictures, with something in them; a batch may be empty."""
    axes = "CHW" if dims == 2 else "CL"
    with_batch, without = f"(N, {', '.join(axes)})", f"({', '.join(axes)})"
    if input.dim() not in (dims + 1, dims + 2):
        raise RuntimeError(
            f"expected an input of shape {with_batch} or {without} for {function}, got {list(input.shape)}:"
            " a single channel is a dimension too (x.unsqueeze(0) adds one in front)"
        )
    if 0 in input.shape[-dims - 1 :]:
        raise RuntimeError(f"expected channels and pixels in the input of {function}, got shape {list(input.shape)}")


def check_grad(grad_output: Tensor, shape: Sequence[int]) -> None:
    """The gradient that arrives has the shape of what went out."""
    if list(grad_output.shape) != list(shape):
        raise RuntimeError(
            f"expected grad_output in the shape of the output, {list(shape)}, got {list(grad_output.shape)}:"
            " give the options of the forward call to the backward one as well"
        )


def output_size(n: int, kernel: int, stride: int, padding: int, dilation: int, ceil_mode: bool = False) -> int:
    """How many windows fit on n entries; with `ceil_mode` the last may reach over the edge, but not start beyond it."""
    span = dilation * (kernel - 1) + 1
    size = (n + 2 * padding - span + (stride - 1 if ceil_mode else 0)) // stride + 1
    if ceil_mode and (size - 1) * stride >= n + padding:
        size -= 1
    if size < 1:
        raise RuntimeError(
            f"expected a window that fits into the padded input: a kernel of {kernel} with dilation {dilation} spans"
            f" {span}, the input has {n} + 2 * {padding} = {n + 2 * padding}; pad more or take a smaller kernel"
        )
    return size


def pad(x: Tensor, sides: Sides, value: float = 0.0) -> Tensor:
    """Add entries around the last dimensions; negative numbers cut entries off."""
    if not any(n for side in sides for n in side):
        return x
    return F.pad(x, [n for side in reversed(sides) for n in side], value=value)
