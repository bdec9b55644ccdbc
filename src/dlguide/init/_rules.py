"""The rules of this folder as bare formulas, in the order in which the pages show them."""

from __future__ import annotations

import math

import torch
from torch import Tensor


# --8<-- [start:fans]
def fans(tensor: Tensor) -> tuple[int, int]:
    """How many products a neuron adds up, and how many neurons an input reaches."""
    if tensor.ndim < 2:
        shape = tuple(tensor.shape)
        raise ValueError(f"expected 2 or more dimensions, got shape {shape}")
    window = math.prod(tensor.shape[2:])  # the positions of a convolution's kernel
    return tensor.shape[1] * window, tensor.shape[0] * window
# --8<-- [end:fans]


# --8<-- [start:std]
def xavier_std(tensor: Tensor, gain: float) -> float:
    """A compromise between both fans."""
    fan_in, fan_out = fans(tensor)
    return gain * math.sqrt(2.0 / (fan_in + fan_out)) if fan_in + fan_out else 0.0


def kaiming_std(tensor: Tensor, gain: float, mode: str) -> float:
    """By one of the fans."""
    fan_in, fan_out = fans(tensor)
    return gain / math.sqrt(fan_in if mode == "fan_in" else fan_out)
# --8<-- [end:std]


# --8<-- [start:draw]
@torch.no_grad()
def uniform(tensor: Tensor, std: float, generator: torch.Generator | None) -> Tensor:
    """Uniform numbers with mean 0."""
    bound = math.sqrt(3.0) * std  # U(-b, b) has the variance b * b / 3
    return tensor.uniform_(-bound, bound, generator=generator)


@torch.no_grad()
def normal(tensor: Tensor, std: float, generator: torch.Generator | None) -> Tensor:
    """Normal numbers with mean 0."""
    return tensor.normal_(0, std, generator=generator)
# --8<-- [end:draw]


# --8<-- [start:orthogonal]
@torch.no_grad()
def orthogonal(
    tensor: Tensor, gain: float, generator: torch.Generator | None
) -> Tensor:
    """Rows or columns that are orthogonal and of length gain."""
    rows, cols = tensor.shape[0], tensor[0].numel()
    a = tensor.new_empty(rows, cols).normal_(0, 1, generator=generator)
    q, r = torch.linalg.qr(a if rows >= cols else a.T)
    q = q * torch.diag(r).sign()  # else QR itself would favor some directions
    return tensor.copy_((q if rows >= cols else q.T).reshape(tensor.shape)).mul_(gain)
# --8<-- [end:orthogonal]


# --8<-- [start:trunc-normal]
@torch.no_grad()
def trunc_normal(
    tensor: Tensor, mean: float, std: float, a: float, b: float,
    generator: torch.Generator | None,
) -> Tensor:  # fmt: skip
    """Normal numbers between a and b, by the inverse of their distribution."""
    low, high = (math.erf((end - mean) / (std * math.sqrt(2))) for end in (a, b))
    u = torch.empty_like(tensor, dtype=torch.float64)
    u.uniform_(low, high, generator=generator)
    return tensor.copy_(mean + std * math.sqrt(2) * torch.erfinv(u)).clamp_(a, b)
# --8<-- [end:trunc-normal]
