"""What the normalizations share: mean 0 and variance 1 along some axes, the way back, and the checks."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


# --8<-- [start:standardize]
def standardize(x: Tensor, axes: tuple[int, ...], eps: float = 1e-5) -> Tensor:
    """Give the numbers that lie together along `axes` mean 0 and variance 1."""
    centered = x - x.mean(axes, keepdim=True)
    variance = (centered**2).mean(axes, keepdim=True)  # biased: divided by m
    return centered / torch.sqrt(variance + eps)
# --8<-- [end:standardize]


# --8<-- [start:standardize-backward]
def standardize_backward(
    grad: Tensor, x: Tensor, axes: tuple[int, ...], eps: float = 1e-5
) -> Tensor:
    """Turn dL/dx_hat into dL/dx; `axes` as in the forward pass."""
    centered = x - x.mean(axes, keepdim=True)
    sigma = torch.sqrt((centered**2).mean(axes, keepdim=True) + eps)
    x_hat = centered / sigma
    through_mean = grad.mean(axes, keepdim=True)
    through_variance = x_hat * (grad * x_hat).mean(axes, keepdim=True)
    return (grad - through_mean - through_variance) / sigma
# --8<-- [end:standardize-backward]


# --8<-- [start:update-running]
@torch.no_grad()
def update_running(
    running_mean: Tensor, running_var: Tensor, groups: Tensor, momentum: float
) -> None:
    """Move the statistics of `groups` [instances, C, m] into the running ones, [C]."""
    m = groups.shape[2]
    mean = groups.mean(2, keepdim=True)
    variance = ((groups - mean) ** 2).sum(2) / (m - 1)  # unbiased, unlike the output
    running_mean.mul_(1 - momentum).add_(momentum * mean.squeeze(2).mean(0))
    running_var.mul_(1 - momentum).add_(momentum * variance.mean(0))
# --8<-- [end:update-running]


def normalized(
    x: Tensor, axes: tuple[int, ...], mean: Tensor | None, var: Tensor | None, own: bool, eps: float
) -> Tensor:
    """Normalize with the statistics of `x` itself, or with given ones of shape `[C]`."""
    if own or mean is None or var is None:
        return standardize(x, axes, eps)
    return (x - channels(mean, x)) / torch.sqrt(channels(var, x) + eps)


def channel_backward(
    grad_output: Tensor, x: Tensor, axes: tuple[int, ...], mean: Tensor | None, var: Tensor | None,
    weight: Tensor | None, own: bool, eps: float,
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    """Gradients of input, weight and bias, where both parameters have one number for each channel."""
    grad_hat = per_channel(grad_output, weight, None)
    if own or mean is None or var is None:
        grad_input = standardize_backward(grad_hat, x, axes, eps)
    else:
        grad_input = grad_hat / torch.sqrt(channels(var, x) + eps)  # the statistics are constants
    x_hat, others = normalized(x, axes, mean, var, own, eps), not_channels(x)
    return grad_input, (grad_output * x_hat).sum(others), grad_output.sum(others)


def channels(vector: Tensor, x: Tensor) -> Tensor:
    """Reshape one number for each channel, `[C]`, so that it broadcasts over `x`, `[N, C, ...]`."""
    return vector.reshape(1, -1, *[1] * (x.dim() - 2))


def not_channels(x: Tensor) -> tuple[int, ...]:
    """List every axis of `[N, C, ...]` but that of the channels."""
    return tuple(axis for axis in range(x.dim()) if axis != 1)


def affine(x_hat: Tensor, weight: Tensor | None, bias: Tensor | None) -> Tensor:
    """Scale and shift, where there is something to scale and shift by."""
    scaled = x_hat if weight is None else x_hat * weight
    return scaled if bias is None else scaled + bias


def per_channel(x_hat: Tensor, weight: Tensor | None, bias: Tensor | None) -> Tensor:
    """Scale and shift each channel by one number of its own."""
    return affine(x_hat, *(None if p is None else channels(p, x_hat) for p in (weight, bias)))


def check_input(input: Tensor, least: int = 1, form: str = "[..., features]") -> None:
    """Refuse integers and tensors with too few dimensions."""
    if not input.is_floating_point():
        raise NotImplementedError(
            f"expected an input of floating point numbers, got {input.dtype}: a mean is no integer, use input.float()"
        )
    if input.dim() < least:
        raise RuntimeError(f"expected an input of shape {form}, got {list(input.shape)}: add the missing dimensions")


def check_parameter(name: str, given: Tensor | None, shape: Sequence[int], input: Tensor) -> None:
    """Refuse a weight, bias or statistic of another shape or dtype than the input needs."""
    if given is None:
        return
    if list(given.shape) != list(shape):
        raise RuntimeError(
            f"expected {name} of shape {list(shape)} for an input of shape {list(input.shape)}, got"
            f" {list(given.shape)}: make both with the same number of features"
        )
    if given.dtype != input.dtype:
        raise RuntimeError(
            f"expected {name} in the input's dtype {input.dtype}, got {given.dtype}: mixed dtypes are refused,"
            f" use input.to({given.dtype})"
        )


def check_normalized_shape(input: Tensor, normalized_shape: Sequence[int]) -> tuple[int, ...]:
    """Compare with the last dimensions of the input and return their axes, counted from the end."""
    if not isinstance(normalized_shape, (tuple, list)):
        raise TypeError(
            f"expected normalized_shape as a list of the last sizes of the input, got {normalized_shape!r}:"
            f" write [{normalized_shape}]"
        )
    size = len(normalized_shape)
    if not size or list(input.shape[-size:]) != list(normalized_shape):
        raise RuntimeError(
            f"expected normalized_shape to be the last sizes of the input, whose shape is {list(input.shape)}, got"
            f" {list(normalized_shape)}: for the features alone it is {list(input.shape[-1:])}"
        )
    return tuple(range(-size, 0))


def check_statistics(running_mean: Tensor | None, running_var: Tensor | None, input: Tensor, needed: bool) -> None:
    """Running statistics come in pairs, one number for each channel, and evaluation cannot do without."""
    if needed and (running_mean is None or running_var is None):
        raise RuntimeError(
            "expected running_mean and running_var, got None: evaluation normalizes with the statistics kept from"
            " training; pass them, or normalize with those of the input"
        )
    if (running_mean is None) != (running_var is None):
        raise ValueError("expected running_mean and running_var, or neither, got one of them: pass both or None twice")
    for name, given in (("running_mean", running_mean), ("running_var", running_var)):
        check_parameter(name, given, input.shape[1:2], input)
