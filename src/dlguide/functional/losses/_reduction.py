"""From many loss values to one, and from their slopes to the gradient."""

from __future__ import annotations

import warnings

from torch import Tensor

REDUCTIONS = ("none", "mean", "sum")


def expect_reduction(reduction: str, allowed: tuple[str, ...] = REDUCTIONS) -> None:
    """Reject an unknown name."""
    if reduction not in allowed:
        raise ValueError(f"unknown reduction {reduction!r}: use one of {', '.join(map(repr, allowed))}.")


# --8<-- [start:reduce]
def reduce(values: Tensor, reduction: str) -> Tensor:
    """All values, their mean (of no value at all: nan) or their sum."""
    expect_reduction(reduction)
    if reduction == "none":
        return values
    return values.mean() if reduction == "mean" else values.sum()


def gradient(slopes: Tensor, like: Tensor, reduction: str) -> Tensor:
    """The gradient of the reduced loss from the slope of each value."""
    expect_reduction(reduction)
    if reduction == "mean":
        slopes = slopes / slopes.numel()  # every value has the share 1/N in the mean
    return slopes.sum_to_size(like.shape)  # a broadcast input collects its copies
# --8<-- [end:reduce]


def warn_of_broadcasting(input: Tensor, target: Tensor) -> None:
    """Say that shapes differ, as PyTorch does: the result is rarely what was meant."""
    if input.shape != target.shape:
        warnings.warn(
            f"input has shape {tuple(input.shape)} but target has shape {tuple(target.shape)}: they are broadcast and"
            " every pair of values enters the loss; give both the same shape.",
            UserWarning,
            stacklevel=4,
        )
